"""Webhooks: those that others send us, and those that we send."""

from functools import cache
from typing import Annotated

from pydantic import AfterValidator, HttpUrl, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from app.core.config.base import ServiceSettings, load
from app.core.config.shared_secret import SharedSecret
from app.core.webhook_signature import key_of


def _refuse_empty_key(secret: str) -> str:
    if not key_of(secret):
        raise ValueError("holds no key")
    return secret


class WebhooksSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="WEBHOOKS_")

    secret: Annotated[SharedSecret, AfterValidator(_refuse_empty_key)]
    """With which both sides sign: any text, or `whsec_` and Base64."""
    tolerance: PositiveInt = 300
    """Seconds by which the clock of a sender may differ from ours."""
    url: Annotated[HttpUrl, AfterValidator(str)]
    """Where we send ours to."""
    timeout: PositiveFloat = 5
    """Seconds: to connect, and then for the answer."""


@cache
def get_webhooks_settings() -> WebhooksSettings:
    return load(WebhooksSettings)
