"""Backups of the database: written whole or not at all, tried out, and kept for a while."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from sqlalchemy import URL, make_url

from app.core import stored_files
from app.core.config.database import get_database_settings
from app.services.errors import ConflictError


class BackupError(Exception):
    """There is no new backup; the message says why."""


async def back_up(now: datetime) -> Path:
    """Write a backup. ConflictError where another one is being made."""
    url = make_url(get_database_settings().url)
    with _alone() as folder:
        for left_behind in folder.glob("*.part"):  # by one that was killed
            left_behind.unlink()
        back_up_to = _back_up_sqlite if url.get_backend_name() == "sqlite" else _back_up_postgresql
        backup = folder / f"{now.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}.dump"
        with stored_files.written_whole(backup) as part:
            await back_up_to(url, part)
            await asyncio.to_thread(_flush, part)
        return backup


def remove_old(now: datetime, keep: timedelta) -> int:
    """Remove backups that are older, but never the newest; returns how many."""
    older = sorted(stored_files.folder("backups").glob("*.dump"))[:-1]
    old = [backup for backup in older if backup.stat().st_mtime < (now - keep).timestamp()]
    for backup in old:
        backup.unlink(missing_ok=True)
    return len(old)


@contextmanager
def _alone() -> Iterator[Path]:
    """The folder, under a lock that ends with its process."""
    folder = stored_files.folder("backups")
    with (folder / ".lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise ConflictError("A backup is being made already.") from None
        yield folder


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


async def _back_up_sqlite(url: URL, part: Path) -> None:
    stopped = threading.Event()
    copying = asyncio.ensure_future(asyncio.to_thread(_copy_sqlite, url.database or "", part, stopped))
    try:
        await asyncio.shield(copying)
    finally:  # nothing writes to the part any more
        stopped.set()
        await asyncio.gather(copying, return_exceptions=True)


def _copy_sqlite(database: str, part: Path, stopped: threading.Event) -> None:
    if not Path(database).is_file():
        raise BackupError(f"There is no file {database!r} to back up; see DATABASE_URL.")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(part)) as copy:
        for connection in (source, copy):
            connection.set_progress_handler(stopped.is_set, 1000)
        try:
            source.execute("VACUUM INTO ?", (str(part),))
            faults = copy.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.Error as error:
            raise BackupError(f"SQLite: {error}") from error
    if faults != [("ok",)]:
        raise BackupError(f"The backup is damaged: {faults[0][0]}")


async def _back_up_postgresql(url: URL, part: Path) -> None:
    await _run(url, "pg_dump", "--format=custom", f"--file={part}")
    await _run(url, "pg_restore", f"--file={os.devnull}", str(part))  # it reads all that is in it


async def _run(url: URL, *command: str) -> None:
    """One of PostgreSQL's programs. Who it logs in as is no argument: everybody on the machine could read it."""
    query = {name: value for name, value in url.query.items() if isinstance(value, str)}
    login = {
        "PGHOST": query.get("host") or url.host,
        "PGPORT": query.get("port") or (str(url.port) if url.port else None),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGSSLMODE": query.get("ssl") or query.get("sslmode"),
        "PGCONNECT_TIMEOUT": "10",
        "LC_ALL": "C",  # so that errors are in English
    }
    environment = os.environ | {name: value for name, value in login.items() if value}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError:
        raise BackupError(
            f"There is no program {command[0]}: install PostgreSQL's client programs (postgresql-client on Debian), "
            "of the server's version or a newer one."
        ) from None
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:  # it was cancelled, or takes too long
            process.kill()
            await process.wait()
    if process.returncode:
        reason = said.decode(errors="replace").strip()
        if "server version mismatch" in reason:
            reason += ". Install PostgreSQL's client programs (postgresql-client on Debian) of the server's version."
        raise BackupError(reason)
