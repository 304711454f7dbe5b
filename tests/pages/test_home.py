"""The front page is made from the code, and is there when little else is."""

import re

import pytest
from django.apps import apps
from django.db import OperationalError, connection

from eventbus import registry

pytestmark = pytest.mark.django_db


@pytest.fixture
def home(anybody) -> str:
    answer = anybody.get("/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_front_page_names_every_context_with_what_it_keeps(home, settings):
    for context in settings.CONTEXTS:
        keeps = apps.get_app_config(context).module.__doc__.splitlines()[0].replace("'", "&#x27;")
        assert f'id="{context}"' in home
        assert keeps in home


def test_the_front_page_lists_every_event_and_every_consumer(home):
    for name in registry.events:
        assert f'id="{name}"' in home
    for name, consumer in registry.consumers.items():
        for event in consumer.hears:
            assert f'href="#{event}"' in home
        assert f"</span> {name.partition('.')[2]}</dt>" in home


def test_every_link_within_the_front_page_leads_somewhere(home):
    targets = set(re.findall(r'id="([^"]+)"', home))
    assert set(re.findall(r'href="#([^"]+)"', home)) <= targets


def test_every_door_opens(home, anybody, chief):
    doors = set(re.findall(r'href="(/[^"]*)"', home))
    assert {"/v1/docs", "/v1/schema", "/v1/products", "/v1/orders", "/health/ready"} <= doors
    for door in doors:
        assert anybody.get(door).status_code in (200, 302, 401, 503), door
        assert chief.get(door).status_code in (200, 503), door


def test_the_front_page_needs_nothing_from_elsewhere(home):
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', home)
    assert "@import" not in home
    assert "<script" not in home


def test_another_context_appears_by_itself(anybody, settings):
    settings.CONTEXTS = [*settings.CONTEXTS, "tools"]
    assert 'id="tools"' in anybody.get("/").content.decode()


def test_the_front_page_says_how_kabar_runs_without_telling_secrets(anybody, settings):
    assert "embedded" in anybody.get("/").content.decode()
    settings.BROKER_URL = "amqp://kabar:s3cret@broker.internal//"
    page = anybody.get("/").content.decode()
    assert "RabbitMQ" in page
    assert "s3cret" not in page
    assert "broker.internal" not in page


def test_the_front_page_counts_the_news(anybody, news):
    page = re.sub(r"\s+", " ", anybody.get("/").content.decode())
    assert f"events in the log</a></dt><dd>{len(news)}</dd>" in page
    assert f"waiting in the outbox</a></dt><dd>{len(news)}</dd>" in page
    assert "dead letters</a></dt><dd>0</dd>" in page


def test_the_front_page_is_there_when_the_database_is_away(anybody):
    def away(*args: object) -> None:
        raise OperationalError("away")

    with connection.execute_wrapper(away):
        answer = anybody.get("/")
    assert answer.status_code == 200
    assert "<dd>unknown</dd>" in answer.content.decode()


def test_the_front_page_is_only_to_read(anybody):
    assert anybody.post("/").status_code == 405
