"""Operations: what an operator does with events, deliveries and dead letters."""
