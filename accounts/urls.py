"""Routes under /v1/."""

from django.urls import path

from accounts import api

urlpatterns = [
    path("customers", api.Customers.as_view(), name="customers"),
    path("customers/me", api.Me.as_view(), name="me"),
    path("customers/<uuid:id>/disablement", api.Disablements.as_view(), name="disablement"),
    path("tokens", api.Tokens.as_view(), name="tokens"),
    path("tokens/refresh", api.FreshTokens.as_view(), name="fresh-tokens"),
    path("tokens/revocation", api.Revocation.as_view(), name="revocation"),
]
