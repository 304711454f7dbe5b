"""How fast the bus is, beside bare Celery and a raw loop, in one run: `make bench`."""
