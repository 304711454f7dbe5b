"""The web process. Without a broker it has the relay, too."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from config import telemetry

telemetry.start()

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()

from config import keys
from eventbus import embedded
from eventbus.checks import enforce

enforce()
keys.must_be_there()
embedded.start()
