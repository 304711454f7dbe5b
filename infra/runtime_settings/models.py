"""The history, which is also the truth: a setting is what its latest change says."""

from typing import Any

from constance.codecs import dumps, loads
from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery


class Change(models.Model):
    """Somebody gave a setting another value, or (null) gave it back to the environment."""

    name = models.CharField(max_length=80, db_index=True)
    value = models.TextField(null=True, help_text="as constance writes it")
    by = models.CharField(max_length=120)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} = {shown(self.value)}"

    @property
    def before(self) -> "Change | None":
        """The change that this one ended."""
        return Change.objects.filter(name=self.name, pk__lt=self.pk).first()


def latest() -> QuerySet[Change]:
    """The change of each setting that holds now."""
    newest = Change.objects.filter(name=OuterRef("name")).order_by("-id").values("pk")[:1]
    return Change.objects.filter(pk=Subquery(newest))


def written(value: Any) -> str | None:
    """Return a value as it is kept."""
    return None if value is None else dumps(value)


def read(text: str | None) -> Any:
    """Return what `written` made a text of."""
    return None if text is None else loads(text)


def shown(text: str | None) -> str:
    """Return a value for people."""
    return "as the environment says" if text is None else str(read(text))
