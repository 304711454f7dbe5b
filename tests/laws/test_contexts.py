"""Contexts share nothing but news: no foreign key, table, migration, import by name, or address."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django.urls import URLPattern
from django.utils.module_loading import module_has_submodule

from eventbus.publishing import contracts
from tests.laws.boundaries import Others, sources, trespasses

CONTEXTS = [*settings.CONTEXTS, "eventbus"]
every_context = pytest.mark.parametrize("context", settings.CONTEXTS)


def _tables(label: str) -> set[str]:
    models = apps.get_app_config(label).get_models(include_auto_created=True)
    return {model._meta.db_table for model in models}


def _routes(label: str) -> Iterator[URLPattern]:
    if module_has_submodule(import_module(label), "urls"):
        yield from import_module(f"{label}.urls").urlpatterns


def _others(context: str) -> Others:
    contexts = [label for label in settings.CONTEXTS if label != context]
    own = {str(route.pattern).partition("/")[0] for route in _routes(context)}
    routes = [route for label in contexts for route in _routes(label)]
    return Others(
        contexts=contexts,
        events=contracts.published(),
        tables={table for label in [*contexts, "eventbus"] for table in _tables(label)},
        routes={str(route.pattern).partition("/")[0] for route in routes} - own,
        names={route.name for route in routes if route.name},
    )


@every_context
def test_no_foreign_key_leaves_a_context(context: str) -> None:
    others = set(CONTEXTS) - {context}
    for model in apps.get_app_config(context).get_models(include_auto_created=True):
        for field in model._meta.get_fields(include_hidden=True):
            related: Any = field.related_model if field.is_relation else None
            label = related._meta.app_label if related else None
            assert label not in others, f"{model.__name__}.{field.name} points into {label}"


@every_context
def test_no_migration_waits_for_another_context(context: str) -> None:
    others = set(CONTEXTS) - {context}
    loader = MigrationLoader(None)
    for (label, name), migration in loader.disk_migrations.items():
        if label == context:
            wanted = {str(dependency[0]) for dependency in migration.dependencies}
            wanted |= {str(dependency[0]) for dependency in migration.run_before}
            assert not wanted & others, f"{label}.{name} depends on {wanted & others}"
            assert "__setting__" not in wanted, f"{label}.{name} depends on AUTH_USER_MODEL"


@every_context
def test_a_context_s_tables_are_its_own(context: str) -> None:
    own = _tables(context)
    assert all(table.startswith(f"{context}_") for table in own), own
    for label in CONTEXTS:
        assert label == context or not own & _tables(label)


@every_context
def test_a_context_mentions_nothing_of_another_context_but_its_events(context: str) -> None:
    others = _others(context)
    for file, source in sources(Path(apps.get_app_config(context).path)).items():
        assert not trespasses(source, others), f"{context}/{file}: {trespasses(source, others)}"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ('cursor.execute("SELECT sku FROM orders_product JOIN x")', "line 1: table orders_product"),
        ('models.ForeignKey("orders.Order", models.CASCADE)', "line 1: 'orders.Order' is no event"),
        ('apps.get_model("orders", "Order")', "line 1: get_model('orders')"),
        ('import_module("orders." + name)', "line 1: import_module('orders.')"),
        ('import_string("orders.services.place_order")', "import_string('orders.services.place"),
        ('httpx.get(f"{KABAR}/v1/orders/{id}")', "line 1: path /v1/orders"),
        ('x = 1\nreverse("admin:orders_order_changelist")', "line 2: reverse('admin:orders_"),
        ('reverse("order", args=[id])', "line 1: reverse('order')"),
    ],
)
def test_what_a_context_may_not_mention_is_found(source: str, what: str) -> None:
    others = Others(
        contexts=["orders"],
        events=["orders.OrderPlaced"],
        tables=["orders_order", "orders_product"],
        routes=["orders"],
        names=["order"],
    )
    assert any(what in found for found in trespasses(source, others)), trespasses(source, others)


@pytest.mark.parametrize(
    "source",
    [
        '@consumer("orders.OrderPlaced")\ndef expect_payment(order_id): ...',
        '"""What orders does is told by orders."""',
        'reverse("payment", args=[id])',
        'path("payments/<uuid:id>", api.payment)',
        'Location = f"/v1/payments/{id}"',
    ],
)
def test_what_a_context_may_mention_is_let_be(source: str) -> None:
    others = Others(["orders"], ["orders.OrderPlaced"], ["orders_order"], ["orders"], ["order"])
    assert trespasses(source, others) == []
