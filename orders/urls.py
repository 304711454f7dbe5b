"""Routes under /v1/."""

from django.urls import path

from orders import api

urlpatterns = [
    path("products", api.Products.as_view(), name="products"),
    path("products/<str:sku>", api.OneProduct.as_view(), name="product"),
    path("orders", api.Orders.as_view(), name="orders"),
    path("orders/<uuid:order_id>", api.OneOrder.as_view(), name="order"),
    path("orders/<uuid:order_id>/overview", api.Overview.as_view(), name="overview"),
    path("orders/<uuid:order_id>/cancellation", api.Cancellation.as_view(), name="cancellation"),
]
