"""Services of accounts. A change and its event are one transaction."""

from accounts.services.login_sessions import Tokens, log_in, log_out, refresh_tokens
from accounts.services.users import disable, make_operator, register, sign_up

__all__ = [
    "Tokens",
    "disable",
    "log_in",
    "log_out",
    "make_operator",
    "refresh_tokens",
    "register",
    "sign_up",
]
