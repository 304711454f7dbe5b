"""Settings that operators change while the shop runs, with who changed what, and the way back."""
