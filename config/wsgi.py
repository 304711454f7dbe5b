"""The web process. Without a broker it has the relay, too."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config import telemetry

telemetry.start()

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from edge import jwks
from eventbus.checks import enforce
from eventbus.relay import embedded

enforce()
jwks.require_keys()
embedded.start()
