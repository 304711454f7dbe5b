"""Stock (on hand, reserved, available), reservations, and a ledger of all movements."""
