"""Commands of the porch."""
