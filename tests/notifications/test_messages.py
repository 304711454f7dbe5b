"""Messages for each event: recipient, text and language."""

import json
from decimal import Decimal
from itertools import permutations

import pytest
from django.core import mail

from eventbus.testing import hear, said
from notifications.models import Message
from tests.notifications.conftest import Upstream


def emails() -> dict[str, str]:
    return {email.subject: email.body for email in mail.outbox}


def states() -> dict[str, str]:
    return dict(Message.objects.values_list("kind", "state"))


def test_a_new_customer_is_welcomed(calm, upstream):
    upstream.signed_up()
    calm.settle()

    [email] = mail.outbox
    assert (email.to, email.subject) == (["sari@example.org"], "Welcome to Kabar, Sari")
    assert email.body.startswith("Hello Sari,\n\n")
    assert states() == {"welcome": "sent"}


def test_the_invoice_lists_the_lines_and_comes_with_a_push_message(calm, upstream, settings):
    upstream.signed_up()
    upstream.placed()
    upstream.paid()
    calm.settle()

    invoice = emails()["Your invoice: EUR 1,244.50"]
    assert f"Order number: {upstream.order}\nPaid on: 17 August 2026\n" in invoice
    assert "  2 x Tea & biscuits, EUR 617.25 each: EUR 1,234.50\n" in invoice
    assert "  1 x Cup, EUR 10.00 each: EUR 10.00\n\nTotal paid: EUR 1,244.50\n" in invoice
    [push] = map(json.loads, (settings.VAR / "push.log").read_text().splitlines())
    assert push["to"] == str(upstream.customer)
    assert push["text"] == "Thank you, Sari! Your payment of EUR 1,244.50 has arrived."


def test_the_customers_language_decides(calm, upstream, settings):
    upstream.signed_up(language="id")
    upstream.placed()
    upstream.paid()
    calm.settle()

    assert set(emails()) == {
        "Selamat datang di Kabar, Sari",
        "Pesanan Anda sudah kami terima",
        "Faktur Anda: EUR 1.244,50",
    }
    invoice = emails()["Faktur Anda: EUR 1.244,50"]
    assert "Tanggal pembayaran: 17 Agustus 2026\n" in invoice
    assert "  2 x Tea & biscuits, @ EUR 617,25: EUR 1.234,50\n" in invoice
    assert "Terima kasih, Sari!" in (settings.VAR / "push.log").read_text()


def test_rupiah_are_written_as_in_indonesia(calm, upstream):
    rupiah = [{"sku": "x", "name": "Teh", "quantity": 2, "unit_price": Decimal("35000.00")}]
    upstream.signed_up(language="id")
    upstream.paid(lines=rupiah, total=Decimal("70000.00"), currency="IDR")
    calm.settle()

    assert "  2 x Teh, @ Rp35.000: Rp70.000\n" in emails()["Faktur Anda: Rp70.000"]


def test_a_language_without_translation_falls_back_to_english(calm, upstream):
    upstream.signed_up(language="fr")
    calm.settle()

    assert list(emails()) == ["Welcome to Kabar, Sari"]


@pytest.mark.parametrize("kind", Message.Kind.values)
@pytest.mark.parametrize("language", ["en", "id"])
def test_each_kind_has_a_text_in_both_languages(kind, language):
    from django.template.loader import get_template

    text = get_template(f"notifications/{kind}.{language}.txt").template.source
    assert len(text.split()) > 8


@pytest.mark.parametrize(
    ("code", "english", "indonesian"),
    [
        ("out_of_stock", "not everything you wanted is in stock", "stok tidak mencukupi"),
        ("declined", "did not go through", "pembayaran tidak berhasil"),
        ("lapsed", "time for paying ran out", "batas waktu pembayaran terlewati"),
        ("by_customer", "You asked us to cancel it", "sesuai permintaan Anda"),
        ("by_operator", "We had to cancel it", "Pesanan Anda dibatalkan"),
    ],
)
def test_a_cancellation_gives_the_reason(calm, upstream, code, english, indonesian):
    upstream.signed_up()
    upstream.cancelled(code=code, reason="so it is")
    other = type(upstream)()
    other.signed_up(language="id")
    other.cancelled(code=code, reason="so it is")
    calm.settle()

    in_english = emails()["Your order was cancelled: so it is"]
    assert english in in_english
    assert "You owe nothing for it." in in_english
    [subject] = [s for s in emails() if s.startswith("Pesanan Anda dibatalkan")]
    assert indonesian in subject
    assert "Keterangan: so it is" in emails()[subject]


def test_a_cancelled_paid_order_mentions_the_refund(calm, upstream):
    upstream.signed_up()
    upstream.cancelled(was_paid=True)
    calm.settle()

    email = emails()["Your order was cancelled: insufficient funds"]
    assert "Your money is on its way back to you" in email


def test_the_operator_gets_a_message_each_time_stock_runs_low(calm, settings):
    settings.NOTIFICATIONS = settings.NOTIFICATIONS | {"OPERATOR_EMAIL": "op@example.org"}
    for available in (4, 3):
        hear("inventory.StockLow", sku="tea", available=available, threshold=5)
    calm.settle()

    assert [email.to for email in mail.outbox] == [["op@example.org"]] * 2
    assert set(emails()) == {"Running low: tea, 4 left", "Running low: tea, 3 left"}


@pytest.mark.parametrize("order", [*permutations(("signed_up", "placed", "paid", "reserved"))])
def test_in_any_order_of_events_the_same_messages_are_sent(calm, upstream, order):
    for word in order:
        getattr(upstream, word)()
        calm.settle()

    assert states() == dict.fromkeys(
        ("welcome", "order_received", "invoice", "order_paid_push"), "sent"
    )


def test_a_message_waits_for_an_address_and_is_released_by_it(calm, upstream):
    upstream.placed()
    calm.settle()
    assert states() == {"order_received": "waiting"}
    assert mail.outbox == []

    upstream.signed_up()
    calm.settle()
    assert states() == {"order_received": "sent", "welcome": "sent"}


def test_an_event_delivered_twice_makes_one_message(calm, upstream):
    upstream.signed_up()
    for _ in range(3):
        upstream.paid()
        upstream.signed_up(email="other@example.org")
    calm.settle()

    assert len(emails()) == len(mail.outbox) == 2
    assert {email.to[0] for email in mail.outbox} == {"sari@example.org"}


def test_a_customer_who_wants_no_messages_gets_none_and_that_is_on_record(calm, upstream, settings):
    upstream.signed_up(wants_messages=False)
    upstream.placed()
    upstream.reserved()
    calm.later(minutes=11)
    upstream.paid()
    calm.settle()

    assert (mail.outbox, said("notifications")[1:]) == ([], [])
    assert set(states().values()) == {"muted"}
    assert set(Message.objects.values_list("reason", flat=True)) == {"wants no messages"}
    assert list(settings.VAR.iterdir()) == []


def test_a_line_break_in_a_name_stays_out_of_the_headers(calm, upstream):
    upstream.signed_up(name="Sari\nBcc: all@example.org")
    calm.settle()

    assert mail.outbox[0].subject == "Welcome to Kabar, Sari Bcc: all@example.org"
    assert mail.outbox[0].recipients() == ["sari@example.org"]


def test_in_any_weather_each_message_is_sent_once(bus, settings):
    upstream = Upstream()
    upstream.placed()
    upstream.signed_up()
    upstream.reserved()
    bus.later(minutes=11)
    upstream.paid()
    bus.settle()

    assert sorted(emails()) == [
        "We have received your order",
        "Welcome to Kabar, Sari",
        "Your invoice: EUR 1,244.50",
    ]
    assert len(mail.outbox) == 3
    for log in ("sms.log", "push.log"):
        assert len((settings.VAR / log).read_text().splitlines()) == 1
