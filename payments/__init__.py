"""payments keeps the money: asking the bank, once, and giving back what must go back."""
