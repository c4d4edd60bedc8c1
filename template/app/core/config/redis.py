"""Redis database 0: the cache."""

from functools import cache
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from app.core.config.base import SecretUrl, ServiceSettings, load


def check_redis_url(url: str) -> str:
    try:
        address = urlsplit(url)
        usable = address.scheme in ("redis", "rediss") and address.hostname and address.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        raise ValueError("is no Redis address such as redis://:password@host:6379/0")
    return url


RedisUrl = Annotated[SecretUrl, AfterValidator(check_redis_url)]


class RedisSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="REDIS_")

    url: RedisUrl
    timeout: PositiveFloat = 0.5
    """Seconds after which a cache that does not answer is passed over."""
    max_connections: PositiveInt = 20


@cache
def get_redis_settings() -> RedisSettings:
    return load(RedisSettings)
