"""Backups by pg_dump: what it is given, and what becomes of it. A script takes its place."""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.core import stored_files
from app.core.config.database import DatabaseSettings
from app.services import backups
from app.services.backups import BackupError

NOW = datetime(2026, 5, 4, 3, 15, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    stored_files.remove(stored_files.folder("backups"))
    settings = DatabaseSettings(url="postgresql://ada:the%20password@db.example.org:5433/shop?ssl=require")
    monkeypatch.setattr(backups, "get_database_settings", lambda: settings)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """What pg_dump and pg_restore do, as a script; in a folder of its own."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def write(script: str) -> Path:
        for name in ("pg_dump", "pg_restore"):
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        return tmp_path

    return write


def files() -> list[str]:
    return sorted(path.name for path in stored_files.folder("backups").iterdir())


def test_the_password_is_no_argument(programs: Callable[[str], Path]) -> None:
    folder = programs('cd "$(dirname "$0")"; echo "$@" >>arguments; env | grep ^PG | sort >environment')
    asyncio.run(backups.back_up(NOW))
    assert "password" not in (folder / "arguments").read_text()
    environment = dict(line.split("=", 1) for line in (folder / "environment").read_text().splitlines())
    assert (
        environment.items()
        >= {
            "PGHOST": "db.example.org",
            "PGPORT": "5433",
            "PGUSER": "ada",
            "PGPASSWORD": "the password",
            "PGDATABASE": "shop",
            "PGSSLMODE": "require",
        }.items()
    )
    assert files() == [".lock", "2026-05-04T03-15-00Z.dump"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'pg_dump: error: no space left' >&2; exit 1", "no space left"),
        ('case "$0" in *restore) echo "could not read: end of file" >&2; exit 1;; esac', "end of file"),
        ("echo 'aborting because of server version mismatch' >&2; exit 1", "Install PostgreSQL's client programs"),
    ],
)
def test_a_backup_that_fails_says_why_and_leaves_nothing(
    programs: Callable[[str], Path], script: str, message: str
) -> None:
    programs(script)
    with pytest.raises(BackupError, match=message) as failed:
        asyncio.run(backups.back_up(NOW))
    assert "the password" not in str(failed.value)
    assert files() == [".lock"]


def test_a_program_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="There is no program pg_dump: install"):
        asyncio.run(backups.back_up(NOW))
    assert files() == [".lock"]


def test_one_that_takes_too_long_is_killed(programs: Callable[[str], Path]) -> None:
    folder = programs('echo $$ >"$(dirname "$0")/fifo"; exec sleep 60')
    os.mkfifo(folder / "fifo")

    async def cancel() -> int:
        backing_up = asyncio.create_task(backups.back_up(NOW))
        process = int(await asyncio.to_thread((folder / "fifo").read_text))
        backing_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await backing_up
        return process

    process = asyncio.run(cancel())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert files() == [".lock"]
