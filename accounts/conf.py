"""The settings of accounts."""

from datetime import timedelta

from infra.app_settings import AppSettings, Setting


class AccountsSettings(AppSettings):
    """Log-in sessions, and the function that signs their access tokens."""

    SIGN = Setting("edge.access_tokens.sign")
    LOGIN_IDLE = Setting(timedelta(days=1))  # without a refresh
    LOGIN_LIFETIME = Setting(timedelta(days=30))


conf = AccountsSettings("ACCOUNTS")
