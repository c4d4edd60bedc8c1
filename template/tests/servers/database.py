"""The database of TEST_DATABASE_URL, whose rows the tests delete, or else a SQLite file."""

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

import app.models  # noqa: F401 (makes every table known to Base)
from app.core.database import Base, open_session

ROOT = Path(__file__).resolve().parents[2]

folder = tempfile.mkdtemp(prefix="tests-")
atexit.register(shutil.rmtree, folder)
os.environ["DATABASE_URL"] = os.environ.get("TEST_DATABASE_URL") or f"sqlite+aiosqlite:///{folder}/test.db"


@pytest.fixture(scope="session")
def migrations() -> Config:
    """Alembic's configuration; the database is up to date."""
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")
    return config


@pytest.fixture
def database(migrations: Config) -> None:
    """Up to date and empty."""

    async def empty() -> None:
        async with open_session() as session, session.begin():
            for table in reversed(Base.metadata.sorted_tables):
                await session.execute(delete(table))

    asyncio.run(empty())


@pytest.fixture
async def session(database: None) -> AsyncIterator[AsyncSession]:
    async with open_session() as session:
        yield session
