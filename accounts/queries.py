"""What accounts answers."""

from accounts.models import User


def customer_with(email: str) -> User | None:
    """Return who has this address, whatever its case."""
    return User.objects.filter(email=User.objects.normalize_email(email)).first()
