"""Processes are started as they are in tests/processes."""

from tests.processes.conftest import unmigrated

__all__ = ["unmigrated"]
