"""Creates demo data."""

from typing import Any

from django.core.management.base import BaseCommand

from tools.ops import demo_shop


class Command(BaseCommand):
    help = "List a small catalogue with stock, and create an operator. A second run does nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        new = demo_shop.stock_up()
        email, password = demo_shop.operator()
        self.stdout.write(f"{new} products listed." if new else "All products are listed already.")
        known = f"password {password}" if password else "with the password you set"
        self.stdout.write(f"Operator: {email}, {known}")
