"""Models of accounts: users and their login sessions."""

from accounts.models.login_sessions import LoginSession
from accounts.models.users import User, UserManager, validate_country, validate_phone

__all__ = [
    "LoginSession",
    "User",
    "UserManager",
    "validate_country",
    "validate_phone",
]
