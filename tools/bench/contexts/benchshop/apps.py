"""The benchmark's context as a Django app."""

from django.apps import AppConfig


class BenchshopConfig(AppConfig):
    name = "benchshop"
