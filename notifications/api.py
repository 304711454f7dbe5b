"""The API of notifications: a customer's messages and preferences."""

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

PREFERENCES = ["wants_messages", "mail", "sms", "push"]


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
        fields = PREFERENCES


class MessageFilter(serializers.Serializer[Any]):
    customer = serializers.UUIDField(required=False)


def _customer_id(request: Request) -> UUID:
    return cast(UUID, request.user.pk)


CUSTOMER = OpenApiParameter("customer", OpenApiTypes.UUID, description="for operators only")


@extend_schema_view(get=extend_schema(operation_id="messages", parameters=[CUSTOMER]))
class Messages(generics.ListAPIView[Message]):
    """Your messages, the latest first; operators see the messages of all customers."""

    serializer_class = ShownMessage

    def get_queryset(self) -> QuerySet[Message]:
        params = MessageFilter(data=self.request.query_params)
        params.is_valid(raise_exception=True)
        customer: UUID | None = params.validated_data.get("customer")
        return queries.messages(
            customer if self.request.user.is_staff else _customer_id(self.request)
        )


class MyPreferences(APIView):
    """Your channels, for messages written from now on."""

    serializer_class = Preferences

    @extend_schema(operation_id="my_preferences", responses=Preferences)
    def get(self, request: Request) -> Response:
        """Return your preferences."""
        contact = queries.preferences_of(_customer_id(request))
        if contact is None:
            raise NotKnownYet()
        return Response(Preferences(contact).data)

    @extend_schema(operation_id="change_my_preferences", request=Preferences, responses=Preferences)
    def patch(self, request: Request) -> Response:
        """Change your preferences."""
        changes = Preferences(data=request.data, partial=True)
        changes.is_valid(raise_exception=True)
        contact = services.change_preferences(_customer_id(request), **changes.validated_data)
        return Response(Preferences(contact).data)
