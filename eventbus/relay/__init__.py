"""The relay: it claims outbox rows, dispatches them, and finds what was lost."""
