"""Runs the migrations on DATABASE_URL: `alembic upgrade head`."""

import asyncio

from alembic import context
from sqlalchemy import Connection, NullPool

import app.models  # noqa: F401 (makes every table known to Base)
from app.core.database import Base, create_engine
from app.core.logging import configure_logging


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite changes a table by copying it
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def run() -> None:
    async with create_engine(poolclass=NullPool).connect() as connection:
        await connection.run_sync(migrate)


if context.is_offline_mode():
    raise SystemExit("alembic: --sql is not supported here; run it against a database.")
configure_logging()
asyncio.run(run())
