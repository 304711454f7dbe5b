"""payments captures the money of an order, once, and refunds it when the order is cancelled."""
