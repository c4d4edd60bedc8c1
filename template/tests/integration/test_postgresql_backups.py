"""A backup of a real PostgreSQL, restored."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from app.core.config.database import get_database_settings
from app.models.users import User
from app.services import backups
from app.services.backups import BackupError
from tests.fixtures import lacking

pytestmark = pytest.mark.usefixtures("postgresql")


@pytest.fixture(autouse=True)
def _programs() -> None:
    if not shutil.which("pg_dump"):
        lacking("pg_dump (postgresql-client on Debian)", "PATH")


@pytest.fixture
async def backup(session: AsyncSession) -> Path:
    """Of many users."""
    async with session.begin():
        session.add_all(User(email=f"user{number}@example.org", name="Ada") for number in range(1000))
    return await backups.back_up(datetime.now(UTC))


@pytest.fixture
async def empty_database() -> AsyncIterator[URL]:
    url = make_url(get_database_settings().url)
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text("DROP DATABASE IF EXISTS restored"))
        await connection.execute(text("CREATE DATABASE restored"))
        yield url.set(database="restored")
        await connection.execute(text("DROP DATABASE restored"))
    await engine.dispose()


async def test_a_backup_is_restored_into_another_database(backup: Path, empty_database: URL) -> None:
    assert (await asyncio.to_thread(backup.stat)).st_mode & 0o777 == 0o600
    restore = ("pg_restore", "--exit-on-error", "--no-owner", "--dbname=restored", str(backup))
    await backups._run(empty_database, *restore)
    engine = create_async_engine(empty_database)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM users")) == 1000
        assert await connection.scalar(text("SELECT version_num FROM alembic_version"))
    await engine.dispose()


async def test_half_a_backup_is_found_out(backup: Path) -> None:
    whole = await asyncio.to_thread(backup.read_bytes)
    await asyncio.to_thread(backup.write_bytes, whole[: len(whole) - 200])
    url = make_url(get_database_settings().url)
    with pytest.raises(BackupError):
        await backups._run(url, "pg_restore", "--file=/dev/null", str(backup))
