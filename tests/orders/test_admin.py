"""Products in the admin: a form is saved, also after a conflict with another transaction."""

import pytest
from django.db import connection
from django.db.models.signals import post_save

from accounts.models import User
from eventbus.models import Event
from orders import services
from orders.models import Product


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_form_whose_transaction_conflicts_is_saved_once(client) -> None:
    client.force_login(User.objects.create_superuser(email="o@example.com", password="x" * 12))
    services.list_product("teapot", "Teapot", 10, "EUR", "")
    saves = []

    def conflict(**kwargs: object) -> None:
        saves.append(1)
        if len(saves) < 3:
            with connection.cursor() as cursor:
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION '' USING ERRCODE = '40001'; END $$")

    post_save.connect(conflict, sender=Product)
    try:
        page = client.post(
            "/admin/orders/product/teapot/change/", {"unit_price": "12.00", "active": "on"}
        )
    finally:
        post_save.disconnect(conflict, sender=Product)

    assert page.status_code == 302
    assert len(saves) == 3
    assert Product.objects.get().unit_price == 12
    assert Event.objects.filter(name="orders.ProductRepriced").count() == 1
