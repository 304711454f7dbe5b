"""Processes are started as they are in tests/processes."""

from tests.processes.conftest import small_house

__all__ = ["small_house"]
