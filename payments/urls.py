"""Where payments shows it."""

from django.urls import path

from payments import api

urlpatterns = [
    path("payments", api.Payments.as_view(), name="payments"),
    path("payments/<uuid:payment_id>", api.OnePayment.as_view(), name="payment"),
]
