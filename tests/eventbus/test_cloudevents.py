"""A message contains CloudEvents 1.0, whose data matches the contract."""

import datetime as dt
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from eventbus import publish
from eventbus.cloudevents import from_cloudevent, to_cloudevent
from eventbus.events import Envelope
from eventbus.models import Event
from eventbus.publishing import contracts
from orders.events import ProductRetired

# After the JSON Schema of the specification: cloudevents/formats/cloudevents.json, v1.0.2.
SPECIFICATION = {
    "type": "object",
    "required": ["id", "source", "specversion", "type"],
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "specversion": {"const": "1.0"},
        "type": {"type": "string", "minLength": 1},
        "datacontenttype": {"type": "string", "minLength": 1},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time"},
        "replayed": {"type": "boolean"},
        "data": {"type": ["object", "string", "number", "array", "boolean", "null"]},
    },
    "propertyNames": {"pattern": "^[a-z0-9]{1,20}$"},
}


def envelope(**changes: object) -> Envelope:
    given = {
        "id": uuid4(),
        "name": "orders.ProductRetired",
        "payload": {"sku": "teapot"},
        "recorded_at": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        "correlation": uuid4(),
        "causation": uuid4(),
        "aggregate": "sku:teapot",
        "aggregate_version": 3,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=1",
        "actor": "operator:7",
    }
    return Envelope(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        envelope(),
        envelope(causation=None, aggregate="", aggregate_version=None, actor=""),
        envelope(traceparent="", tracestate=""),
        envelope(replayed=True),
    ],
)
def test_an_event_is_encoded_by_the_specification_and_decoded_unchanged(given):
    wire = to_cloudevent(given)
    Draft202012Validator(SPECIFICATION, format_checker=FormatChecker()).validate(wire)
    assert from_cloudevent(wire) == given


def test_empty_attributes_are_left_out():
    wire = to_cloudevent(envelope(causation=None, aggregate="", actor=""))
    assert not {"causationid", "subject", "actor", "replayed"} & set(wire)


@pytest.mark.parametrize("name", sorted(contracts.published()))
def test_every_contract_is_json_schema(name):
    Draft202012Validator.check_schema(contracts.published()[name])


def test_a_logged_payload_matches_its_contract(db):
    publish(ProductRetired(sku="teapot"))
    event = Event.objects.get()
    Draft202012Validator(contracts.published()[event.name]).validate(event.payload)
