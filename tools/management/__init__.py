"""Commands that look into every context."""
