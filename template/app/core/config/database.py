"""The database: its address and the pool of connections of each process."""

from functools import cache
from typing import Annotated

from pydantic import AfterValidator, PositiveInt
from pydantic_settings import SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from app.core.config.base import SecretUrl, ServiceSettings, load

ASYNC_DRIVERS = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}


def _use_async_driver(url: str) -> str:
    try:
        address = make_url(url)
        address = address.set(drivername=ASYNC_DRIVERS.get(address.drivername, address.drivername))
        is_async = address.get_dialect().is_async
    except (ArgumentError, NoSuchModuleError):
        raise ValueError("is no database address such as postgresql+asyncpg://user:password@host/name") from None
    if not is_async:
        raise ValueError(f"needs an asyncio driver ({' or '.join(sorted(set(ASYNC_DRIVERS.values())))})")
    return address.render_as_string(hide_password=False)


class DatabaseSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="DATABASE_")

    url: Annotated[SecretUrl, AfterValidator(_use_async_driver)]
    pool_size: PositiveInt = 5
    """Connections that one process keeps at most."""


@cache
def get_database_settings() -> DatabaseSettings:
    return load(DatabaseSettings)
