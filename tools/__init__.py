"""The porch: commands that look into every room, and the servers they need. Nobody imports it."""
