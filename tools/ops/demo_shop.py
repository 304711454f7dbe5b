"""Demo data: a catalogue with stock, and an operator."""

from decimal import Decimal
from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts.models import User
from accounts.services import make_operator
from eventbus import acting_as
from inventory import services as inventory
from orders import services as orders
from orders.models import Product

OPERATOR = "operator@kabar.example"
CURRENCY = "IDR"
CATALOGUE = [
    ("teh-melati", "Jasmine tea", "Green tea from Slawi, scented with jasmine. 100 g.", 35_000, 40),
    ("kopi-gayo", "Gayo coffee", "Arabica from Aceh, washed, medium roast. 250 g.", 92_000, 25),
    ("batik-kawung", "Kawung batik scarf", "Hand-stamped cotton, 180 x 50 cm.", 185_000, 12),
    ("wayang-arjuna", "Arjuna shadow puppet", "Buffalo hide and horn, 45 cm.", 640_000, 3),
    ("gula-aren", "Palm sugar", "Aren sugar from Banten, in a leaf. 500 g.", 28_000, 60),
    ("sambal-roa", "Roa sambal", "Smoked fish and chilli from Manado. 150 g.", 47_000, 30),
    ("angklung", "Angklung", "Bamboo, eight tones, tuned by hand.", 270_000, 8),
    ("vanili", "Vanilla pods", "From Alor, 10 pods.", 150_000, 15),
]


def stock_up() -> int:
    """List the missing products, with stock; return their number."""
    new = 0
    for sku, name, description, price, pieces in CATALOGUE:
        if Product.objects.filter(pk=sku).exists():
            continue
        with acting_as("command:demoshop"), transaction.atomic():
            orders.list_product(sku, name, Decimal(price), CURRENCY, description)
            inventory.add_stock_item(sku)
            inventory.replenish(sku, pieces)
        new += 1
    return new


def operator() -> tuple[str, str | None]:
    """Create an operator where there is none; return e-mail, and the password where known."""
    note = Path(settings.VAR, "operator_password")
    if not User.objects.filter(is_superuser=True).exists():
        password = make_operator(OPERATOR)
        note.touch(mode=0o600)
        note.write_text(password or "")
    email = User.objects.filter(is_superuser=True).earliest("date_joined").email
    known = note.exists() and email == OPERATOR
    return email, note.read_text() if known else None
