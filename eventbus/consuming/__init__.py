"""Consuming: each event's effect happens exactly once, or its failure is recorded."""
