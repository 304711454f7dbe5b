"""Settings that operators change while the shop runs; changes are recorded and can be reverted."""
