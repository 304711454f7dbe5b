"""Operators in the admin: they read messages, and send failed ones again."""

import pytest
from django.core import mail

from accounts.models import User
from notifications.models import Message

LIST = "/admin/notifications/message/"


@pytest.fixture
def admin(client, db):
    client.force_login(User.objects.create_superuser("op@example.org", "x", name="Op"))
    return client


def test_messages_are_listed_filtered_and_read(admin, calm, upstream):
    upstream.signed_up()
    upstream.placed()
    upstream.reserved()
    calm.settle()

    page = admin.get(LIST, {"state": "sent", "channel": "mail", "q": "sari"}).content.decode()
    assert "Welcome to Kabar, Sari" in page
    detail = admin.get(f"{LIST}{Message.objects.get(kind='welcome').id}/change/").content.decode()
    assert "Hello Sari" in detail
    for table in ("contact", "ordernote"):
        assert admin.get(f"/admin/notifications/{table}/").status_code == 200


def test_history_is_not_rewritten(admin, calm, upstream):
    upstream.signed_up()
    message = Message.objects.get()

    for page in (f"{LIST}add/", f"{LIST}{message.id}/delete/"):
        assert admin.post(page, {"post": "yes"}).status_code == 403
    assert admin.post(f"{LIST}{message.id}/change/", {"subject": "x"}).status_code == 403


def test_only_failed_messages_are_sent_again_in_the_admin(admin, calm, upstream):
    upstream.signed_up()
    upstream.placed()
    calm.settle()
    Message.objects.filter(kind="welcome").update(state="failed", reason="550")
    selection = [str(message.id) for message in Message.objects.all()]

    page = admin.post(LIST, {"action": "send_again", "_selected_action": selection}, follow=True)
    calm.settle()

    assert len(mail.outbox) == 3
    assert set(Message.objects.values_list("state", "reason")) == {("sent", "")}
    answer = page.content.decode()
    assert "welcome to sari@example.org: queued" in answer
    assert "Only a message that failed can be sent again; this one is sent." in answer
