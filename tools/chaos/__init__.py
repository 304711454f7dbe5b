"""Storms: real processes on servers of their own, killed and frozen by a seeded plan, then counted.

`plan` says what happens, `house` runs the processes, `strikes` does the damage, `traffic` is who
orders and pays meanwhile, `patience` is how long it waits, `verdict` counts afterwards, `report`
prints it, `storm` is the whole.
"""
