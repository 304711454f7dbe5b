"""The settings of houses in tests: the ordinary ones, less patient."""

from config.settings import *  # noqa: F403
from config.settings import EVENTBUS

EVENTBUS |= {"BLOCKED_AFTER": 2.0}
