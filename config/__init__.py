"""The attic: wiring only. It names rooms by string and imports none."""

from config.celery import app as celery

__all__ = ["celery"]
