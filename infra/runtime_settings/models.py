"""The history of changes; the latest change of a setting is its value."""

from typing import Any

from constance.codecs import dumps, loads
from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery


class Change(models.Model):
    """A change of a setting to another value, or (null) back to its value at start."""

    name = models.CharField(max_length=80, db_index=True)
    value = models.TextField(null=True, help_text="as constance writes it")
    by = models.CharField(max_length=120)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} = {as_text(self.value)}"

    @property
    def before(self) -> "Change | None":
        """The change of the same setting before this one."""
        return Change.objects.filter(name=self.name, pk__lt=self.pk).first()


def latest() -> QuerySet[Change]:
    """Return the latest change of each setting."""
    newest = Change.objects.filter(name=OuterRef("name")).order_by("-id").values("pk")[:1]
    return Change.objects.filter(pk=Subquery(newest))


def encode(value: Any) -> str | None:
    """Return a value as the column holds it."""
    return None if value is None else dumps(value)


def decode(text: str | None) -> Any:
    """Return the value of a column."""
    return None if text is None else loads(text)


def as_text(text: str | None) -> str:
    """Return the value of a column as the admin shows it."""
    return "as at start" if text is None else str(decode(text))
