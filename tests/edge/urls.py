"""Calls that go wrong in every way, behind the real edge."""

from typing import Any

from django.core.exceptions import ObjectDoesNotExist, SuspiciousOperation
from django.core.exceptions import PermissionDenied as NotAllowed
from django.core.exceptions import ValidationError as BadModel
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.urls import handler400, handler403, handler404, handler500
from config.urls import urlpatterns as real
from edge.idempotency.views import with_idempotency
from eventbus import Refusal
from infra.errors import Unavailable

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


class TeapotTooHot(Refusal):
    """Tea of {degrees} degrees is not served."""

    status = 418
    field = "degrees"


class TeapotGone(Refusal):
    """There is no teapot."""

    status = 410


class Cup(serializers.Serializer[Any]):
    sugar = serializers.IntegerField(min_value=0, max_value=3)


class Tea(serializers.Serializer[Any]):
    degrees = serializers.IntegerField()
    cups = Cup(many=True)
    guests = serializers.ListField(child=serializers.CharField(max_length=3))

    def validate_degrees(self, degrees: int) -> int:
        if degrees > 100:
            raise TeapotTooHot(degrees=degrees)
        return degrees


ERRORS: dict[str, Exception] = {
    "refusal": TeapotTooHot(degrees=101),
    "gone": TeapotGone(),
    "away": Unavailable(reason="the bank", seconds=2.5),
    "missing": ObjectDoesNotExist("Teapot matching query does not exist."),
    "model": BadModel({"sku": ["This is no sku."]}),
    "throttled": Throttled(wait=7),
    "bug": RuntimeError("the password is swordfish"),
}


class Broken(APIView):
    """Raise what is asked for."""

    permission_classes = [AllowAny]

    def get(self, request: Request, kind: str) -> Response:
        raise ERRORS[kind]


class Kettle(APIView):
    """Take tea."""

    permission_classes = [AllowAny]

    def post(self, request: Request) -> Response:
        tea = Tea(data=request.data)
        tea.is_valid(raise_exception=True)
        return Response(tea.validated_data)


class Private(APIView):
    """A view that needs a log-in."""

    def get(self, request: Request) -> Response:
        return Response({})


class Flaky(APIView):
    """Fail as asked, until it is calm."""

    calm = False

    def post(self, request: Request) -> Response:
        if not Flaky.calm:
            raise ERRORS[request.data["fail"]]
        return Response({})


def outside(request: HttpRequest, kind: str) -> HttpResponse:
    """Raise what Django itself answers."""
    raise {
        "400": SuspiciousOperation("swordfish"),
        "403": NotAllowed("swordfish"),
        "404": Http404("swordfish"),
        "500": RuntimeError("swordfish"),
    }[kind]


urlpatterns = [
    path("v1/broken/<kind>", Broken.as_view()),
    path("v1/kettle", Kettle.as_view()),
    path("v1/private", Private.as_view()),
    *with_idempotency([path("v1/flaky", Flaky.as_view())]),
    path("v1/outside/<kind>", outside),
    path("outside/<kind>", outside),
    *real,
]
