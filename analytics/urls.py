"""Routes under /v1/."""

from django.urls import path

from analytics import api

urlpatterns = [
    path("analytics/sales", api.Sales.as_view(), name="analytics-sales"),
    path("analytics/funnel", api.Funnel.as_view(), name="analytics-funnel"),
    path("analytics/sign-ups", api.SignUps.as_view(), name="analytics-sign-ups"),
    path("analytics/refunds", api.Refunds.as_view(), name="analytics-refunds"),
]
