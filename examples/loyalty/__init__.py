"""loyalty gives a customer one point for each whole unit of currency in a paid order."""
