"""Consuming: each event takes effect exactly once, or its failure is stored."""
