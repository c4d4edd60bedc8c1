"""Where settings come from: the environment first, then `secret/.env.<APP_ENV>`."""

import os
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

ENVIRONMENTS = ("development", "production", "test")
PLACEHOLDER = "CHANGE_ME"
SHORTEST_PASSWORD = 16
SECRET_DIR = Path(__file__).resolve().parents[3] / "secret"


class SettingsError(SystemExit):
    """Stops the process with one line that names the settings at fault and what to do about them."""


def get_app_env() -> str:
    """The environment that this process runs in: one of ENVIRONMENTS."""
    app_env = os.environ.get("APP_ENV") or "development"
    if app_env not in ENVIRONMENTS:
        raise SettingsError(f"APP_ENV: use one of {', '.join(ENVIRONMENTS)}, not {app_env!r}.")
    return app_env


def refuse_weak_password(password: str | None) -> None:
    """In production, raise ValueError for a placeholder and for what is short enough to be guessed."""
    if get_app_env() != "production":
        return
    if PLACEHOLDER in (password or ""):
        raise ValueError(f"still holds the placeholder {PLACEHOLDER}")
    if len(password or "") < SHORTEST_PASSWORD:
        raise ValueError(f"needs a password of at least {SHORTEST_PASSWORD} characters in production")


def _refuse_weak_secret(url: str) -> str:
    address = urlsplit(url)
    if address.hostname:
        refuse_weak_password(address.password)
    return url


SecretUrl = Annotated[str, Field(repr=False), AfterValidator(_refuse_weak_secret)]
"""An address with a password in it: kept out of logs, and refused in production while it is weak."""


class ServiceSettings(BaseSettings):
    """Base of every settings class; each reads the keys that begin with its own prefix."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


Settings = TypeVar("Settings", bound=ServiceSettings)


def load(settings_class: type[Settings]) -> Settings:
    """Read one settings class, or raise SettingsError with every setting of it that is missing or malformed."""
    try:
        return settings_class(_env_file=_env_file())
    except ValidationError as error:
        raise _settings_error(_describe(settings_class, error)) from None


def check_settings() -> None:
    """Read every settings class that has been imported; raise one SettingsError for all that is wrong with them."""
    faults = []
    for settings_class in ServiceSettings.__subclasses__():
        try:
            settings_class(_env_file=_env_file())
        except ValidationError as error:
            faults += _describe(settings_class, error)
    if faults:
        raise _settings_error(faults)


def _env_file() -> Path:
    file = SECRET_DIR / f".env.{get_app_env()}"
    if file.exists() and not os.access(file, os.R_OK):
        raise SettingsError(f"secret/{file.name} is closed to user {os.getuid()}. Run `make secrets`, which opens it.")
    return file


def _describe(settings_class: type[ServiceSettings], error: ValidationError) -> list[str]:
    prefix = settings_class.model_config["env_prefix"]
    return [
        ": ".join([*(f"{prefix}{name}".upper() for name in fault["loc"]), fault["msg"].removeprefix("Value error, ")])
        for fault in error.errors()
    ]


def _settings_error(faults: list[str]) -> SettingsError:
    remedy = "Run `make secrets`, or set it" if get_app_env() == "production" else "Set it"
    return SettingsError(f"{'; '.join(faults)}. {remedy} in secret/{_env_file().name} or the environment.")
