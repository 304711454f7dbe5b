"""analytics keeps what can be counted: read models fed by news alone. It says nothing."""
