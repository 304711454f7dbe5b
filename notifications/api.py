"""What notifications shows: one's own messages, and what one wants to get."""

from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from infra.serializers import StrictSerializer
from notifications import queries, services
from notifications.errors import NotKnownYet
from notifications.models import Contact, Message

WISHES = ["wants_messages", "mail", "sms", "push"]


class ShownMessage(serializers.ModelSerializer[Message]):
    class Meta:
        model = Message
        fields = [
            "id",
            "kind",
            "about",
            "customer_id",
            "channel",
            "to",
            "subject",
            "body",
            "state",
            "reason",
            "written_at",
            "sent_at",
        ]
        read_only_fields = fields


class Preferences(StrictSerializer, serializers.ModelSerializer[Contact]):
    class Meta:
        model = Contact
        fields = WISHES


class Filter(serializers.Serializer[Any]):
    customer = serializers.UUIDField(required=False)


def _who(request: Request) -> UUID:
    return cast(UUID, request.user.pk)


WHOSE = OpenApiParameter("customer", OpenApiTypes.UUID, description="for operators: whose")


@extend_schema_view(get=extend_schema(operation_id="messages", parameters=[WHOSE]))
class Messages(generics.ListAPIView[Message]):
    """Your messages, the latest first; an operator sees everybody's."""

    serializer_class = ShownMessage

    def get_queryset(self) -> QuerySet[Message]:
        wish = Filter(data=self.request.query_params)
        wish.is_valid(raise_exception=True)
        asked: UUID | None = wish.validated_data.get("customer")
        return queries.messages(asked if self.request.user.is_staff else _who(self.request))


class MyPreferences(APIView):
    """Which messages you want, for those written from now on."""

    serializer_class = Preferences

    @extend_schema(operation_id="my_preferences", responses=Preferences)
    def get(self, request: Request) -> Response:
        """Return what you want to get."""
        contact = queries.preferences_of(_who(request))
        if contact is None:
            raise NotKnownYet()
        return Response(Preferences(contact).data)

    @extend_schema(operation_id="change_my_preferences", request=Preferences, responses=Preferences)
    def patch(self, request: Request) -> Response:
        """Change what you want to get."""
        wish = Preferences(data=request.data, partial=True)
        wish.is_valid(raise_exception=True)
        contact = services.change_preferences(_who(request), **wish.validated_data)
        return Response(Preferences(contact).data)
