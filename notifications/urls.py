from django.urls import path

from notifications import api

urlpatterns = [
    path("messages", api.Messages.as_view(), name="messages"),
    path("messages/preferences", api.MyPreferences.as_view(), name="preferences"),
]
