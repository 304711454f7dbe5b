"""Admin pages of the bus: all read-only, with operations as actions."""

from eventbus.admin import delivery, log, operations

__all__ = ["delivery", "log", "operations"]
