"""Settings of a package, declared in its `conf.py`.

    class InventorySettings(AppSettings):
        RESERVATION = minutes("RESERVATION_MINUTES", 15, runtime="How long goods stay reserved.")
        LOW = integer("STOCK_LOW", 5)

    conf = InventorySettings("INVENTORY")

When a process starts, `config/settings.py` reads the environment into `settings.INVENTORY`.
`conf.RESERVATION` is, at each use, the value that an operator has set while the shop runs
(only where `runtime=` gives the help text of the form), else `settings.INVENTORY["RESERVATION"]`,
else the default.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Generic, TypeVar, overload

from django.conf import settings

from infra.environment import WEB, Environment
from infra.runtime_settings import fields
from infra.runtime_settings.fields import FormField

Value = TypeVar("Value")


class Setting(Generic[Value]):
    """One setting; as an attribute of `AppSettings` it gives its value.

    read: returns the value that the environment gives, or the default; without it the setting has
    no environment variable. field, runtime: form field and help text of a runtime setting.
    """

    key: str

    def __init__(
        self,
        default: Value,
        read: Callable[[Environment], Value] | None = None,
        *,
        field: FormField | None = None,
        runtime: str = "",
    ) -> None:
        self.default, self.field, self.runtime = default, field, runtime
        self.read = read or (lambda env: default)

    def __set_name__(self, owner: type, key: str) -> None:
        self.key = key

    @overload
    def __get__(self, conf: None, owner: Any) -> "Setting[Value]": ...

    @overload
    def __get__(self, conf: "AppSettings", owner: Any) -> Value: ...

    def __get__(self, conf: "AppSettings | None", owner: Any) -> Any:
        return self if conf is None else conf.value(self)


class AppSettings:
    """The settings of one package, declared by a subclass; `name` is the dict in Django's."""

    name: str

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def declared(cls) -> list[Setting[Any]]:
        """Return the settings in their order."""
        return [setting for setting in vars(cls).values() if isinstance(setting, Setting)]

    def read(self, env: Environment) -> dict[str, Any]:
        """Return all values as the environment gives them; problems are added to `env.problems`.

        Override it to check settings against each other.
        """
        return {setting.key: setting.read(env) for setting in self.declared()}

    def value(self, setting: Setting[Any]) -> Any:
        """Return the value of a setting that holds now."""
        if setting.runtime:
            # Imported here: Django has no models yet while settings are read.
            from infra.runtime_settings.store import changed

            found = changed()
            if (name := self._runtime_name(setting)) in found:
                return found[name]
        return getattr(settings, self.name, {}).get(setting.key, setting.default)

    def constance_config(self, given: dict[str, Any]) -> dict[str, tuple[Any, str, str]]:
        """Return the runtime settings as CONSTANCE_CONFIG has them: value at start, help, field."""
        return {
            name: (given[setting.key], setting.runtime, name)
            for name, setting in self._runtime().items()
        }

    def constance_fields(self) -> dict[str, FormField]:
        """Return the form fields of the runtime settings, for CONSTANCE_ADDITIONAL_FIELDS."""
        return {name: setting.field or fields.text() for name, setting in self._runtime().items()}

    def _runtime(self) -> dict[str, Setting[Any]]:
        return {self._runtime_name(s): s for s in self.declared() if s.runtime}

    def _runtime_name(self, setting: Setting[Any]) -> str:
        return f"{self.name}_{setting.key}"


def declared_in(packages: Iterable[str]) -> list[AppSettings]:
    """Return the settings of those packages that have a `conf.py` with some."""
    modules = [import_module(f"{name}.conf") for name in packages if find_spec(f"{name}.conf")]
    return [found for m in modules for found in vars(m).values() if isinstance(found, AppSettings)]


def text(variable: str, default: str = "", *, runtime: str = "") -> Setting[str]:
    """Declare a text."""
    return Setting(
        default, lambda env: env.str(variable, default), field=fields.text(), runtime=runtime
    )


def choice(
    variable: str, default: str, choices: Collection[str], *, runtime: str = ""
) -> Setting[str]:
    """Declare one of several words."""
    return Setting(
        default,
        lambda env: env.str(variable, default, choices=choices),
        field=fields.choice([*choices]),
        runtime=runtime,
    )


def boolean(variable: str, default: bool, *, runtime: str = "") -> Setting[bool]:
    """Declare a switch."""
    return Setting(
        default, lambda env: env.bool(variable, default), field=fields.boolean(), runtime=runtime
    )


def integer(variable: str, default: int, *, least: int = 0, runtime: str = "") -> Setting[int]:
    """Declare a whole number."""
    return Setting(
        default,
        lambda env: env.int(variable, default, least=least),
        field=fields.integer(least),
        runtime=runtime,
    )


def number(variable: str, default: float, *, least: float = 0, runtime: str = "") -> Setting[float]:
    """Declare a number."""
    return Setting(
        default,
        lambda env: env.float(variable, default, least=least),
        field=fields.number(least),
        runtime=runtime,
    )


def amount(variable: str, default: str, *, runtime: str = "") -> Setting[Decimal]:
    """Declare an amount of money."""
    return Setting(
        Decimal(default),
        lambda env: env.decimal(variable, default),
        field=fields.amount(),
        runtime=runtime,
    )


def minutes(variable: str, default: float, *, runtime: str = "") -> Setting[timedelta]:
    """Declare a duration; the variable gives minutes."""
    return Setting(
        timedelta(minutes=default),
        lambda env: timedelta(minutes=env.float(variable, default)),
        field=fields.duration(),
        runtime=runtime,
    )


def seconds(variable: str, default: float, *, runtime: str = "") -> Setting[timedelta]:
    """Declare a duration; the variable gives seconds."""
    return Setting(
        timedelta(seconds=default),
        lambda env: timedelta(seconds=env.float(variable, default)),
        field=fields.duration(),
        runtime=runtime,
    )


def url(variable: str, default: str = "", *, schemes: Collection[str] = WEB) -> Setting[str]:
    """Declare an address."""
    return Setting(default, lambda env: env.url(variable, schemes) or default)
