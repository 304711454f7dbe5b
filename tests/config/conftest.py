"""Processes are started as they are in tests/processes."""

from tests.processes.conftest import empty_house

__all__ = ["empty_house"]
