"""Runs the shop and its servers on one machine: `make run`, `make stack` and the tests."""
