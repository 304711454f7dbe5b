"""Messages, as operators see them: to be read, and to be sent again where they failed."""

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
        """Let those send who may change messages, though nobody edits them."""
        return request.user.has_perm("notifications.change_message")

    @admin.action(description="Send again (only what failed)", permissions=["send"])
    def send_again(self, request: HttpRequest, chosen: QuerySet[Message]) -> None:
        """Let failed messages go out once more, each by its own transaction."""
        for message in chosen:
            try:
                services.send_again(message.pk)
            except Refusal as no:
                messages.error(request, f"{message}: {no}")
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
