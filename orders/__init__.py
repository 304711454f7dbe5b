"""orders keeps what is for sale, and the life of an order."""
