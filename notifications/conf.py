"""The settings of notifications."""

from infra.app_settings import AppSettings, minutes, number, text, url


class NotificationsSettings(AppSettings):
    """Addresses of the operator and of the providers, and times."""

    OPERATOR_EMAIL = text("OPERATOR_EMAIL", "operator@kabar.example")
    SMS_URL = url("SMS_URL")  # empty: the fake provider, which writes files
    PUSH_URL = url("PUSH_URL")
    PROVIDER_TIMEOUT = number(
        "PROVIDER_TIMEOUT",
        5.0,
        least=0.1,
        runtime="Seconds until a provider of SMS or push messages counts as unavailable.",
    )
    REMIND_BEFORE = minutes(
        "REMIND_MINUTES_BEFORE",
        5,
        runtime="How long before a reservation lapses its customer is reminded to pay.",
    )


conf = NotificationsSettings("NOTIFICATIONS")
