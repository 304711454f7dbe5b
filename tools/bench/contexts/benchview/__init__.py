"""A read model for measurements only: quantities by product."""
