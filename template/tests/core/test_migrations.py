"""The migrations: up, down, and the same tables as the models."""

import asyncio
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, inspect

from app.core.database import Base, create_engine


@pytest.fixture
def downgraded(migrations: Config) -> Iterator[Config]:
    """All migrations undone, and done again afterwards."""
    command.downgrade(migrations, "base")
    yield migrations
    command.upgrade(migrations, "head")


def test_the_migrations_make_the_tables_of_the_models(migrations: Config) -> None:
    command.check(migrations)
    assert tables() == set(Base.metadata.tables)


def test_the_migrations_can_be_undone_and_done_again(downgraded: Config) -> None:
    assert tables() == set()
    command.upgrade(downgraded, "head")
    assert tables() == set(Base.metadata.tables)


def tables() -> set[str]:
    async def read() -> set[str]:
        async with create_engine(poolclass=NullPool).connect() as connection:
            names = await connection.run_sync(lambda connection: inspect(connection).get_table_names())
        return set(names) - {"alembic_version"}

    return asyncio.run(read())
