"""What piles up is removed; the database is kept."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.core.config.files import get_files_settings
from app.models.email_tokens import EmailToken
from app.models.user_sessions import UserSession
from app.models.users import User
from app.services import backups
from app.services.errors import ConflictError
from app.tasks import upkeep


async def test_expired_sessions_are_removed_until_none_is_left(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 2)
    now = datetime.now(UTC)
    async with session.begin():
        user = User(email="ada@example.org", name="Ada")
        session.add(user)
        await session.flush()
        for number in range(5):
            session.add(UserSession(user_id=user.id, token_hash=str(number), expires_at=now))
        session.add(UserSession(user_id=user.id, token_hash="later", expires_at=now + timedelta(hours=1)))
        session.add(EmailToken(user_id=user.id, token_hash="0", expires_at=now, purpose="verification"))
    assert upkeep.remove_expired_sessions() == {"user_sessions": 5, "email_tokens": 1}
    assert await session.scalar(select(func.count()).select_from(UserSession)) == 1
    assert upkeep.remove_expired_sessions() == {"user_sessions": 0, "email_tokens": 0}


def test_files_that_are_old_enough_are_removed() -> None:
    stored_files.remove(stored_files.folder("images"))
    stored_files.remove(stored_files.folder("imports"))
    keep = timedelta(days=get_files_settings().keep_days)
    for name, age in (("old", keep + timedelta(hours=1)), ("new", keep - timedelta(hours=1))):
        path = stored_files.folder("imports") / name
        path.touch()
        os.utime(path, times=((datetime.now(UTC) - age).timestamp(),) * 2)
    assert upkeep.remove_old_files() == 1
    assert [path.name for path in stored_files.folder("imports").iterdir()] == ["new"]


def test_a_backup_that_is_being_made_already_is_left_at_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_now: datetime) -> None:
        raise ConflictError("A backup is being made already.")

    monkeypatch.setattr(backups, "back_up", refuse)
    assert upkeep.back_up_database() == {"file": None, "bytes": 0, "removed": 0}


def test_a_backup_is_followed_by_removing_old_ones() -> None:
    stored_files.remove(stored_files.folder("backups"))
    folder = stored_files.folder("backups")
    old = folder / "2020-01-01T00-00-00Z.dump"
    old.touch()
    os.utime(old, (0, 0))
    made = upkeep.back_up_database()
    assert made["removed"] == 1
    (backup,) = folder.glob("*.dump")
    assert (made["file"], made["bytes"]) == (backup.name, backup.stat().st_size)
    assert made["bytes"] > 0


def test_old_backups_stay_where_there_is_no_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_now: datetime) -> None:
        raise backups.BackupError("The disk is full.")

    monkeypatch.setattr(backups, "back_up", fail)
    old = stored_files.folder("backups") / "2020-01-01T00-00-00Z.dump"
    for name in (old, old.with_name("2020-01-02T00-00-00Z.dump")):
        name.touch()
        os.utime(name, (0, 0))
    with pytest.raises(backups.BackupError, match="full"):
        upkeep.back_up_database()
    assert old.exists()
