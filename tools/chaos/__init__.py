"""Chaos test: real processes on servers of their own, killed and frozen by a seeded plan.

`plan` draws the faults, `cluster` runs the processes, `faults` injects, `traffic` orders and pays
meanwhile, `progress` waits, `evaluate` compares database and promises afterwards, `report` prints
the result, `runner` runs it all.
"""
