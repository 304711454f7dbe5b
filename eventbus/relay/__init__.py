"""The relay claims outbox rows, sends them as messages, and resends lost ones."""
