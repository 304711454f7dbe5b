"""A read model for measurements only: what was counted, by shelf. No shop installs it."""
