"""Flower, the pages on which people watch workers and tasks."""

from functools import cache
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from app.core.config.base import ServiceSettings, load, refuse_weak_password


def _check_users(users: str) -> str:
    for user in users.split(","):
        name, _, password = user.partition(":")
        if not (name and password):
            raise ValueError("needs a name and a password, name:password, in every environment")
        refuse_weak_password(password)
    return users


class FlowerSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="FLOWER_")

    basic_auth: Annotated[str, Field(repr=False), AfterValidator(_check_users)]
    """Who may come in: name:password, or several of them with commas between."""


@cache
def get_flower_settings() -> FlowerSettings:
    return load(FlowerSettings)
