"""The service itself: its name and its logs."""

from functools import cache
from typing import Literal

from pydantic_settings import SettingsConfigDict

from app.core.config.base import ServiceSettings, load


class AppSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="APP_")

    name: str = "Service"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


@cache
def get_app_settings() -> AppSettings:
    return load(AppSettings)
