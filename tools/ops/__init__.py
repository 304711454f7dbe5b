"""Commands that operators use: import, audit, demo data, the lock of the REST contract."""
