"""Backups of a database that is a file, and how long they are kept."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.core import stored_files
from app.core.config.database import DatabaseSettings
from app.services import backups
from app.services.backups import BackupError
from app.services.errors import ConflictError

NOW = datetime(2026, 5, 4, 3, 15, tzinfo=UTC)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of the backups, empty; nothing half-written is left in it."""
    stored_files.remove(stored_files.folder("backups"))
    folder = stored_files.folder("backups")
    yield folder
    assert not list(folder.glob("*.part*"))


@pytest.fixture
def database(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of a million numbers."""
    database = tmp_path / "service.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        connection.execute(
            "INSERT INTO numbers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000)"
            " SELECT i FROM n"
        )
        connection.commit()
    settings = DatabaseSettings(url=f"sqlite+aiosqlite:///{database}")
    monkeypatch.setattr(backups, "get_database_settings", lambda: settings)
    return database


def count(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        rows: int = connection.execute("SELECT count(*) FROM numbers").fetchone()[0]
        return rows


async def test_a_backup_takes_the_place_of_the_database(database: Path) -> None:
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("DELETE FROM numbers WHERE number > 10")  # not committed, so not in it
        backup = await backups.back_up(NOW)
        writer.commit()
    assert count(database) == 10
    assert backup.name == "2026-05-04T03-15-00Z.dump"
    assert backup.stat().st_mode & 0o777 == 0o600
    backup.replace(database)
    for left in ("-wal", "-shm"):
        database.with_name(f"{database.name}{left}").unlink(missing_ok=True)
    assert count(database) == 1_000_000


def test_what_is_no_database_is_told(database: Path) -> None:
    database.write_text("no database" * 1000)
    with pytest.raises(BackupError, match="not a database"):
        asyncio.run(backups.back_up(NOW))
    database.unlink()
    with pytest.raises(BackupError, match="There is no file"):
        asyncio.run(backups.back_up(NOW))
    assert not list(stored_files.folder("backups").glob("*.dump"))


async def test_a_backup_that_is_damaged_is_none(database: Path) -> None:
    with database.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096)
    with pytest.raises(BackupError):
        await backups.back_up(NOW)
    assert not list(stored_files.folder("backups").glob("*.dump"))


async def test_one_that_is_cancelled_ends_at_once_and_leaves_nothing(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, copied = threading.Event(), threading.Event()
    copy = backups._copy_sqlite

    def follow(*arguments: object) -> None:
        started.set()
        copy(*arguments)  # type: ignore[arg-type]  # they are handed on
        copied.set()

    monkeypatch.setattr(backups, "_copy_sqlite", follow)
    backing_up = asyncio.create_task(backups.back_up(NOW))
    await asyncio.to_thread(started.wait)
    backing_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await backing_up
    assert not copied.is_set()
    assert not list(stored_files.folder("backups").glob("*.dump"))


async def test_one_is_made_at_a_time(database: Path) -> None:
    answers = await asyncio.gather(*(backups.back_up(NOW) for _ in range(3)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["ConflictError", "ConflictError", "PosixPath"]
    assert isinstance(answers[1], ConflictError)
    await backups.back_up(NOW)  # the lock is free again


def test_what_a_killed_one_has_left_is_removed(database: Path, folder: Path) -> None:
    (folder / "2026-05-03T03-15-00Z.dump.1.part").write_text("half")
    asyncio.run(backups.back_up(NOW))
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "2026-05-04T03-15-00Z.dump"]


@pytest.fixture
def kept(folder: Path) -> Callable[..., list[int]]:
    """Of backups that are so many days old, the ages of those that stay."""

    def keep(*ages: int) -> list[int]:
        for age in ages:
            backup = folder / f"{NOW - timedelta(days=age):%Y-%m-%dT%H-%M-%SZ}.dump"
            backup.touch()
            os.utime(backup, (0, (NOW - timedelta(days=age)).timestamp()))
        removed = backups.remove_old(NOW, timedelta(days=14))
        left = sorted((NOW - datetime.fromtimestamp(path.stat().st_mtime, UTC)).days for path in folder.glob("*.dump"))
        assert removed == len(ages) - len(left)
        return left

    return keep


@pytest.mark.parametrize(
    ("ages", "left"),
    [([], []), ([0], [0]), ([99], [99]), ([30, 20], [20]), ([0, 14, 15, 99], [0, 14]), ([15, 16, 99], [15])],
)
def test_old_backups_are_removed_but_never_the_newest(
    kept: Callable[..., list[int]], ages: list[int], left: list[int]
) -> None:
    assert kept(*ages) == left
