"""A small shop to look at."""

from django.core.management import call_command

from accounts.models import User
from orders.models import Availability, Product


def test_the_demo_shop_is_stocked_once(calm, settings, tmp_path, capsys):
    settings.VAR = tmp_path
    call_command("demoshop")
    calm.settle()
    call_command("demoshop")
    calm.settle()

    assert Product.objects.count() == 8
    assert Availability.objects.get(pk="wayang-arjuna").available == 3
    operator = User.objects.get(is_superuser=True)
    password = (tmp_path / "operator_password").read_text()
    assert operator.check_password(password)
    assert capsys.readouterr().out.count(f"password {password}") == 2
