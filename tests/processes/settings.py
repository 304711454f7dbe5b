"""The settings of deployments in tests: a blocked loop is noticed after two seconds."""

from config.settings import *  # noqa: F403
from config.settings import EVENTBUS

EVENTBUS |= {"BLOCKED_AFTER": 2.0}
