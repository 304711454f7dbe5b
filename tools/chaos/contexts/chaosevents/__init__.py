"""A context of the chaos test: events whose consumers fail, give up, or kill their process."""
