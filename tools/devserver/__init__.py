"""Runs the shop and its servers on one machine, for `make stack` and the tests."""
