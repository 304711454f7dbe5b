"""A shop's sales history is imported once, however often the import is started."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from analytics import queries as analytics
from eventbus.models import Event
from eventbus.relay import embedded
from inventory.models import Movement, StockItem
from notifications.models import Message
from orders.models import Order, Product
from payments.models import Payment
from tools.ops import import_sales, sales_file

HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINES = """536365,85123A,WHITE HEART,6,12/1/2010 8:26,2.55,17850,United Kingdom
536365,71053,LANTERN,6,12/1/2010 8:26,3.39,17850,United Kingdom
536366,85123A,WHITE HEART,2,12/1/2010 9:00,2.95,,EIRE
536366,85123A,WHITE HEART,1,12/1/2010 9:00,2.55,,EIRE
536367,71053,"LANTERN, BIG",4,12/2/2010 10:00,3.39,13047,France
C536379,71053,LANTERN,-1,12/2/2010 11:00,3.39,13047,France
536368,71053,LANTERN,-4,12/2/2010 10:00,3.39,13047,France
536368,71053,LANTERN,1,12/2/2010 10:00,0,13047,France
536368,71053,LANTERN,1,31/12/2010 10:00,1.00,13047,France
536368,71053,LANTERN,1,12/2/2010 10:00,1.00,13047,Atlantis
536368,,LANTERN,1,12/2/2010 10:00,1.00,13047,France
536368,71053,LANTERN,many,12/2/2010 10:00,1.00,13047,France
536368,71053,LANTERN,1,12/2/2010 10:00,0.001,13047,France
"""
TOTAL = Decimal("15.30") + Decimal("20.34") + Decimal("8.45") + Decimal("13.56")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    path.write_text(HEAD + LINES, encoding="latin-1")
    return path


@pytest.fixture
def delivering(calm: Any, monkeypatch: Any) -> Iterator[None]:
    """Let the bus of the test deliver while the import waits."""
    monkeypatch.setattr(embedded, "start", lambda: None)

    def wait_until(ready: Any) -> None:
        calm.settle()
        assert ready()

    monkeypatch.setattr(import_sales, "wait_until", wait_until)
    yield


def test_every_line_is_a_sale_or_skipped_with_a_reason(file):
    history = sales_file.read(file)

    assert history.lines == 13
    assert len(list(history.sales())) == 5
    assert dict(history.reasons()) == {
        "a credit note: it returns goods of another invoice": 1,
        "the quantity is not positive": 1,
        "the price is not positive": 1,
        "the date is not month/day/year hour:minute": 1,
        "no country is called 'Atlantis'": 1,
        "no invoice number or stock code": 1,
        "the quantity is not a number": 1,
        "the price is not an amount of money": 1,
    }


def test_history_becomes_orders_paid_at_their_own_date(file, delivering, capsys):
    call_command("importsales", file)

    assert Order.objects.count() == 3
    assert set(Order.objects.values_list("status", flat=True)) == {"paid"}
    assert sum(Order.objects.values_list("total", flat=True)) == TOTAL
    assert {o.paid_at.date().isoformat() for o in Order.objects.all()} == {
        "2010-12-01",
        "2010-12-02",
    }
    assert sum(Payment.objects.filter(status="captured").values_list("amount", flat=True)) == TOTAL
    assert [(r.key, r.revenue) for r in analytics.sales("country")] == [
        ("GB", Decimal("35.64")),
        ("FR", Decimal("13.56")),
        ("IE", Decimal("8.45")),
    ]
    printed = capsys.readouterr().out
    assert "by product: 2 sums, 0 differ" in printed
    assert "skipped 1: the price is not positive" in printed


def test_a_price_that_differs_is_a_repricing_and_a_second_one_an_operators(file, delivering):
    call_command("importsales", file)

    assert Event.objects.filter(name="orders.ProductRepriced").count() == 1
    assert Product.objects.get(pk="85123A").unit_price == Decimal("2.95")
    guest = Order.objects.get(country="IE")
    assert [line.unit_price for line in guest.lines.all()] == [Decimal("2.95"), Decimal("2.55")]


def test_an_import_started_again_duplicates_nothing(file, delivering, capsys):
    call_command("importsales", file, limit=1)
    call_command("importsales", file)
    call_command("importsales", file)

    assert Order.objects.count() == 3
    assert Movement.objects.filter(kind="replenished", sku="71053").count() == 2
    assert {item.on_hand for item in StockItem.objects.all()} == {0}
    assert "0 invoices imported, 3 were imported before" in capsys.readouterr().out


def test_no_mail_leaves_unless_it_is_asked_for(file, delivering, mailoutbox):
    call_command("importsales", file, limit=1)
    assert mailoutbox == []
    assert set(Message.objects.values_list("state", flat=True)) == {"muted"}

    call_command("importsales", file, notify=True)
    assert {address for message in mailoutbox for address in message.to} == {
        "guest-536366@import.example",
        "customer-13047@import.example",
    }


def test_a_dry_run_changes_nothing(file, db):
    call_command("importsales", file, dry_run=True)
    assert not Order.objects.exists()


@pytest.mark.parametrize("text", ["", "a,b,c\n1,2,3\n"])
def test_another_file_is_refused(tmp_path, db, text):
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(CommandError, match="has no column InvoiceNo"):
        call_command("importsales", path)


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path, db):
    with pytest.raises(CommandError, match="No such file"):
        call_command("importsales", tmp_path / "nothing.csv")
