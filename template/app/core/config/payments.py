"""The provider that takes payments for us."""

from functools import cache
from typing import Annotated

from pydantic import AfterValidator, HttpUrl, PositiveFloat
from pydantic_settings import SettingsConfigDict

from app.core.config.base import ServiceSettings, load
from app.core.config.shared_secret import SharedSecret


class PaymentsSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="PAYMENTS_")

    url: Annotated[HttpUrl, AfterValidator(lambda url: str(url).rstrip("/"))]
    key: SharedSecret
    timeout: PositiveFloat = 5
    """Seconds: to connect, and then for each part of the answer."""


@cache
def get_payments_settings() -> PaymentsSettings:
    return load(PaymentsSettings)
