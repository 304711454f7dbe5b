"""Login sessions, each a family of refresh tokens."""

import datetime as dt

from django.db import models

from accounts.conf import conf
from accounts.models.users import User
from infra.ids import new_id


class LoginSession(models.Model):
    """One log-in and its family of refresh tokens. Only the token of `generation` is valid."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="login_sessions")
    generation = models.PositiveIntegerField(default=0, help_text="rotations of the refresh token")
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name = "login session"

    def __str__(self) -> str:
        return f"{self.user_id} since {self.started_at:%F %T}"

    def start(self, now: dt.datetime) -> None:
        """Set when the session began and when it expires unless it is refreshed."""
        self.started_at, self.expires_at = now, now + conf.LOGIN_IDLE

    def rotate(self, generation: int, now: dt.datetime) -> bool:
        """Accept a refresh token and move on to the next generation; False ends the session."""
        # A token of an older generation was used before: a second party has it (RFC 9700, 4.14).
        if generation != self.generation or now >= self.expires_at or not self.user.is_active:
            return False
        self.generation += 1
        end = self.started_at + conf.LOGIN_LIFETIME
        self.expires_at = min(now + conf.LOGIN_IDLE, end)
        return True
