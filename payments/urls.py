from django.urls import path

from payments import api

urlpatterns = [
    path("payments", api.Payments.as_view(), name="payments"),
    path("payments/webhooks/<str:provider>", api.Webhooks.as_view(), name="webhooks"),
    path("payments/<uuid:payment_id>", api.OnePayment.as_view(), name="payment"),
]
