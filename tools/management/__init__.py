"""Commands that look into every room."""
