"""Commands that look into every context, and the servers they need. Nothing imports it."""
