"""A context for measurements only: a hundred products and a ledger."""
