"""Routes under /v1/."""

from django.urls import path

from inventory import api

urlpatterns = [
    path("stock", api.Stock.as_view(), name="stock"),
    path("stock/<str:sku>", api.OneStock.as_view(), name="stock-item"),
    path("stock/<str:sku>/movements", api.Movements.as_view(), name="movements"),
    path("stock/<str:sku>/replenishments", api.Replenishments.as_view(), name="replenishments"),
]
