"""Something to look at."""

from typing import Any

from django.core.management.base import BaseCommand

from tools.ops import demo_shop


class Command(BaseCommand):
    """See `help`."""

    help = "List a small catalogue with stock, and make an operator. Again: changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        """Stock up and say what there is."""
        new = demo_shop.stock_up()
        email, password = demo_shop.operator()
        self.stdout.write(f"{new} products listed." if new else "The shelves are full already.")
        known = f"password {password}" if password else "with the password you gave"
        self.stdout.write(f"Operator: {email}, {known}")
