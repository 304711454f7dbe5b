"""The goods: on hand, reserved, available; reservations; and every reason a quantity moved."""
