"""What piles up is removed; the database is kept."""

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict  # of which Pydantic can make a schema on each Python

from app.core.brokers import priority
from app.core.celery import celery_app, with_db_init
from app.core.config.celery import get_celery_settings
from app.core.config.files import get_files_settings
from app.models.email_tokens import EmailToken
from app.models.user_sessions import UserSession
from app.services import backups, old_files, user_sessions
from app.services.errors import ConflictError

BATCH = 1000

celery_app.conf.task_routes |= {
    f"upkeep.{name}": {"queue": "low_priority", "priority": priority(get_celery_settings(), 0)}
    for name in ("remove_expired_sessions", "remove_old_files", "back_up_database")
}


class Removed(TypedDict):
    user_sessions: int
    email_tokens: int


class Backup(TypedDict):
    file: str | None
    """In FILES_FOLDER/backups; null where another run was making one."""
    bytes: int
    removed: int
    """Old backups."""


@celery_app.task(name="upkeep.remove_expired_sessions", exposed=True)
@with_db_init
async def remove_expired_sessions(*, session: AsyncSession) -> Removed:
    """Remove logins and links from e-mails that are over, batch by batch; returns how many."""
    at = datetime.now(UTC)
    return {
        "user_sessions": await _remove_expired(session, UserSession, at),
        "email_tokens": await _remove_expired(session, EmailToken, at),
    }


async def _remove_expired(session: AsyncSession, table: type[UserSession] | type[EmailToken], at: datetime) -> int:
    removed = 0
    while True:
        async with session.begin():
            batch = await user_sessions.remove_expired(session, table, at=at, limit=BATCH)
        removed += batch
        if batch < BATCH:
            return removed


@celery_app.task(name="upkeep.remove_old_files", exposed=True)
def remove_old_files() -> int:
    """Remove uploads and exports that are older than FILES_KEEP_DAYS; returns how many."""
    return old_files.remove_old(datetime.now(UTC) - timedelta(days=get_files_settings().keep_days))


@celery_app.task(name="upkeep.back_up_database", exposed=True, soft_time_limit=3600, time_limit=3660)
@with_db_init
async def back_up_database() -> Backup:
    """Back up the database, and remove backups older than FILES_BACKUPS_KEEP_DAYS, but never the newest."""
    now = datetime.now(UTC)
    try:
        backup = await backups.back_up(now)
    except ConflictError:  # beat was started twice, or the last run takes long
        return {"file": None, "bytes": 0, "removed": 0}
    keep = timedelta(days=get_files_settings().backups_keep_days)
    removed = await asyncio.to_thread(backups.remove_old, now, keep)
    return {"file": backup.name, "bytes": backup.stat().st_size, "removed": removed}
