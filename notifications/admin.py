"""The admin of notifications: operators read messages, and send failed ones again."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from eventbus import Refusal
from infra.admin import ReadOnlyAdmin
from notifications import services
from notifications.models import Contact, Message, OrderNote


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = ["kind", "channel", "to", "subject", "state", "written_at", "sent_at"]
    list_filter = ["state", "channel", "kind"]
    search_fields = ["to", "subject", "about", "customer_id"]
    ordering = ["-id"]
    date_hierarchy = "written_at"
    actions = ["send_again"]

    def has_send_permission(self, request: HttpRequest) -> bool:
        # Messages are read-only, so the permission to change them is free to mean this.
        return request.user.has_perm("notifications.change_message")

    @admin.action(description="Send again (failed messages only)", permissions=["send"])
    def send_again(self, request: HttpRequest, selection: QuerySet[Message]) -> None:
        for message in selection:
            try:
                services.send_again(message.pk)
            except Refusal as error:
                messages.error(request, f"{message}: {error}")
            else:
                messages.success(request, f"{message}: queued")


@admin.register(Contact)
class ContactAdmin(ReadOnlyAdmin):
    list_display = ["email", "name", "language", "wants_messages", "mail", "sms", "push"]
    list_filter = ["wants_messages", "language"]
    search_fields = ["email", "name", "phone", "customer_id"]


@admin.register(OrderNote)
class OrderNoteAdmin(ReadOnlyAdmin):
    list_display = ["order_id", "state", "total", "currency", "expires_at"]
    list_filter = ["state"]
    search_fields = ["order_id", "customer_id"]
