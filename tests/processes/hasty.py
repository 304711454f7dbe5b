"""The settings of houses in which somebody is killed: what was not confirmed goes again soon."""

from tests.processes.settings import *  # noqa: F403
from tests.processes.settings import EVENTBUS

EVENTBUS |= {"SEND_DEADLINE": 3.0}
