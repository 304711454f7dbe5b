"""Customers and operators: sign-up, log-in, login sessions."""
