"""Infrastructure that every context may use and that knows neither the bus nor a context."""
