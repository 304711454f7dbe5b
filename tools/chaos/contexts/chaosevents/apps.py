"""The chaos test's context as a Django app."""

from django.apps import AppConfig


class ChaosEventsConfig(AppConfig):
    name = "chaosevents"
