"""A context for measurements only: a hundred shelves and a ledger. No shop installs it."""
