"""Products for sale and their availability."""

from decimal import Decimal

from django.db import models

from orders import events


class Product(models.Model):
    """A product for sale. Its stock belongs to inventory; `Availability` is a copy."""

    sku = models.CharField(max_length=40, primary_key=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3, help_text="ISO 4217")
    active = models.BooleanField(default=True)
    views = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-views", "sku"]

    def __str__(self) -> str:
        return f"{self.sku} {self.name}"

    def listed(self) -> events.ProductListed:
        """Return the event of a new product."""
        return events.ProductListed(
            sku=self.sku,
            name=self.name,
            description=self.description,
            unit_price=self.unit_price,
            currency=self.currency,
        )

    def reprice(self, unit_price: Decimal) -> events.ProductRepriced | None:
        """Change the price; the same price changes nothing."""
        if unit_price == self.unit_price:
            return None
        old_price, self.unit_price = self.unit_price, unit_price
        return events.ProductRepriced(
            sku=self.sku, unit_price=unit_price, was=old_price, currency=self.currency
        )

    def retire(self) -> events.ProductRetired | None:
        """Take the product off sale."""
        if not self.active:
            return None
        self.active = False
        return events.ProductRetired(sku=self.sku)


class Availability(models.Model):
    """Pieces of a product that can be ordered: the sum of inventory's events, in any order."""

    sku = models.CharField(max_length=40, primary_key=True)
    available = models.IntegerField(default=0)

    class Meta:
        verbose_name_plural = "availability"

    def __str__(self) -> str:
        return f"{self.available} of {self.sku}"
