"""Products for sale, and the life of an order: placed, reserved, paid or cancelled."""
