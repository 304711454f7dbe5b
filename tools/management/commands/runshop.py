"""`make run`: the whole shop in one process."""

import signal
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.servers.basehttp import run

from eventbus.relay import embedded
from tools.ops import demo_shop

WELCOME = """
Kabar is open at {url}

  Log in    {url}/admin/   {email}, {password}
  Try       {url}/v1/products   and   {url}/v1/docs
            curl -s {url}/v1/products
            .venv/bin/python manage.py importsales --help
  Mail      {mail}
  Data      is in {var}; Ctrl-C stops the shop, and nothing is lost
"""


class Command(BaseCommand):
    help = "Migrate, create demo data, and serve web and relay in one process on SQLite."
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=int, default=settings.PORT, help="default: PORT, or 8000"
        )
        parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.BROKER_URL:
            raise CommandError("BROKER_URL is set: unset it, or use `make stack`.")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            call_command("migrate", interactive=False, verbosity=0)
            demo_shop.stock_up()
            self._serve(options["host"], options["port"])
        except KeyboardInterrupt:
            self.stdout.write("\nStopping after the current deliveries.")
        finally:
            embedded.stop()

    def _serve(self, host: str, port: int) -> None:
        from config.wsgi import application

        email, password = demo_shop.operator()
        url = f"http://{host}:{port}"
        files = getattr(settings, "EMAIL_FILE_PATH", None)
        welcome = WELCOME.format(
            url=url,
            email=email,
            password=password or "the password you set",
            mail=f"goes to files in {files}" if files else f"goes to {settings.EMAIL_HOST}",
            var=settings.VAR,
        )
        try:
            run(host, port, application, threading=True, on_bind=lambda _: self._print(welcome))
        except OSError as error:
            raise CommandError(
                f"Port {port} cannot be used ({error.strerror}). Use another: PORT=8001 make run"
            ) from error

    def _print(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
