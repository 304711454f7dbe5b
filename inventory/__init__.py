"""inventory keeps the goods: on hand, reserved, available, and every reason they moved."""
