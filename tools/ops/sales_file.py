"""The sales history of a shop as a file: sales, and skipped lines with the reason.

The format is that of the UCI "Online Retail" data set: InvoiceNo, StockCode, Description,
Quantity, InvoiceDate (month/day/year hour:minute), UnitPrice, CustomerID, Country; Latin-1.
"""

import csv
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pycountry

COLUMNS = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
]
NAMES = {
    "EIRE": "IE",
    "RSA": "ZA",
    "USA": "US",
    "Channel Islands": "JE",
}  # not ISO names
MAX_QUANTITY = 1_000_000


class NotASale(ValueError):
    """A line that is not a sale, with the reason."""


@dataclass(frozen=True)
class Sale:
    """One line of an invoice."""

    line: int
    invoice: str
    sku: str
    name: str
    quantity: int
    unit_price: Decimal
    at: dt.datetime
    customer: str
    country: str

    @property
    def amount(self) -> Decimal:
        """Quantity times price."""
        return self.quantity * self.unit_price


@dataclass
class History:
    """Sales by invoice, and skipped lines with the reason."""

    invoices: dict[str, list[Sale]] = field(default_factory=lambda: defaultdict(list))
    skipped: list[tuple[int, str]] = field(default_factory=list)
    lines: int = 0

    def sales(self) -> Iterator[Sale]:
        """Yield all sales, invoice by invoice."""
        for sales in self.invoices.values():
            yield from sales

    def reasons(self) -> Counter[str]:
        """Count the skipped lines by reason."""
        return Counter(reason for _, reason in self.skipped)


def read(path: Path) -> History:
    """Read a file. Raises NotASale where its columns differ."""
    history = History()
    with path.open(encoding="latin-1", newline="") as file:
        rows = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if missing:
            raise NotASale(f"{path} has no column {', '.join(missing)}")
        for row in rows:
            history.lines += 1
            try:
                sale = _sale(rows.line_num, row)
            except NotASale as reason:
                history.skipped.append((rows.line_num, str(reason)))
            else:
                history.invoices[sale.invoice].append(sale)
    return history


def _sale(line: int, row: Mapping[str, str | None]) -> Sale:
    text = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if not text["InvoiceNo"] or not text["StockCode"]:
        raise NotASale("no invoice number or stock code")
    if text["InvoiceNo"].startswith("C"):
        raise NotASale("a credit note: it returns goods of another invoice")
    return Sale(
        line=line,
        invoice=text["InvoiceNo"],
        sku=text["StockCode"][:40],
        name=text["Description"][:200] or text["StockCode"],
        quantity=_quantity(text["Quantity"]),
        unit_price=_price(text["UnitPrice"]),
        at=_time(text["InvoiceDate"]),
        customer=text["CustomerID"],
        country=_country(text["Country"]),
    )


def _quantity(text: str) -> int:
    try:
        quantity = int(text)
    except ValueError:
        raise NotASale("the quantity is not a number") from None
    if not 0 < quantity <= MAX_QUANTITY:
        raise NotASale(
            "the quantity is not positive" if quantity <= 0 else "the quantity is too large"
        )
    return quantity


def _price(text: str) -> Decimal:
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise NotASale("the price is not a number") from None
    if not price.is_finite() or price <= 0:
        raise NotASale("the price is not positive")
    if price != price.quantize(Decimal("0.01")) or price >= 10**10:
        raise NotASale("the price is not an amount of money")
    return price.quantize(Decimal("0.01"))


def _time(text: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, "%m/%d/%Y %H:%M").replace(tzinfo=dt.UTC)
    except ValueError:
        raise NotASale("the date is not month/day/year hour:minute") from None


def _country(text: str) -> str:
    if text in NAMES:
        return NAMES[text]
    try:
        return str(pycountry.countries.lookup(text).alpha_2)
    except LookupError:
        raise NotASale(f"no country is called {text!r}") from None


def sums(sales: Iterable[Sale], group_by: str) -> dict[str, tuple[int, Decimal]]:
    """Return units and revenue of the sales, by day, product or country."""
    key = {
        "day": lambda sale: sale.at.date().isoformat(),
        "product": lambda sale: sale.sku,
        "country": lambda sale: sale.country,
    }[group_by]
    found: dict[str, tuple[int, Decimal]] = {}
    for sale in sales:
        pieces, revenue = found.get(key(sale), (0, Decimal()))
        found[key(sale)] = (pieces + sale.quantity, revenue + sale.amount)
    return found
