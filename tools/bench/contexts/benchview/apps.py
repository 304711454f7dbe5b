"""The benchmark's read model as a Django app."""

from django.apps import AppConfig


class BenchviewConfig(AppConfig):
    name = "benchview"
