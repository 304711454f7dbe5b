"""Wiring only. It names contexts by string and imports none."""

from config.celery import app as celery

__all__ = ["celery"]
