"""The service itself: its name, its logs, and how much it reads of a request."""

from functools import cache
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from app.core.config.base import ServiceSettings, load


class AppSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="APP_")

    name: str = "Service"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    body_limit: Annotated[int, Field(ge=1)] = 1_048_576
    """Bytes."""


@cache
def get_app_settings() -> AppSettings:
    return load(AppSettings)
