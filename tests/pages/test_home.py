"""The front page is generated from the code, and works without a database."""

import re

import pytest
from django.apps import apps
from django.db import OperationalError, connection

from eventbus import registry
from eventbus.events import event_types

pytestmark = pytest.mark.django_db


@pytest.fixture
def home(anonymous) -> str:
    answer = anonymous.get("/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_front_page_names_every_context_with_its_description(home, settings):
    for context in settings.CONTEXTS:
        documented = apps.get_app_config(context).module.__doc__
        assert f'id="{context}"' in home
        assert documented.splitlines()[0].replace("'", "&#x27;") in home


def test_the_front_page_lists_every_event_and_every_consumer(home):
    for name in event_types:
        assert f'id="{name}"' in home
    for name, consumer in registry.consumers.items():
        for event in consumer.events:
            assert f'href="#{event}"' in home
        assert f"</span> {name.partition('.')[2]}</dt>" in home


def test_every_link_within_the_front_page_leads_somewhere(home):
    targets = set(re.findall(r'id="([^"]+)"', home))
    assert set(re.findall(r'href="#([^"]+)"', home)) <= targets


def test_every_link_to_another_page_works(home, anonymous, superuser):
    links = set(re.findall(r'href="(/[^"]*)"', home))
    assert {"/v1/docs", "/v1/schema", "/v1/products", "/v1/orders", "/health/ready"} <= links
    for link in links:
        assert anonymous.get(link).status_code in (200, 302, 401, 503), link
        assert superuser.get(link).status_code in (200, 503), link


def test_the_front_page_loads_nothing_from_other_hosts(home):
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', home)
    assert "@import" not in home
    assert "<script" not in home


def test_another_context_appears_by_itself(anonymous, settings):
    settings.CONTEXTS = [*settings.CONTEXTS, "tools"]
    assert 'id="tools"' in anonymous.get("/").content.decode()


def test_the_front_page_shows_how_kabar_runs_and_no_secret(anonymous, settings):
    assert "embedded" in anonymous.get("/").content.decode()
    settings.BROKER_URL = "amqp://kabar:s3cret@broker.internal//"
    page = anonymous.get("/").content.decode()
    assert "RabbitMQ" in page
    assert "s3cret" not in page
    assert "broker.internal" not in page


def test_the_front_page_counts_events(anonymous, news):
    page = re.sub(r"\s+", " ", anonymous.get("/").content.decode())
    assert f"events in the log</a></dt><dd>{len(news)}</dd>" in page
    assert f"in the outbox</a></dt><dd>{len(news)}</dd>" in page
    assert "dead letters</a></dt><dd>0</dd>" in page


def test_the_front_page_works_without_a_database(anonymous):
    def unreachable(*args: object) -> None:
        raise OperationalError("unreachable")

    with connection.execute_wrapper(unreachable):
        answer = anonymous.get("/")
    assert answer.status_code == 200
    assert "<dd>unknown</dd>" in answer.content.decode()


def test_the_front_page_answers_reads_only(anonymous):
    assert anonymous.post("/").status_code == 405
