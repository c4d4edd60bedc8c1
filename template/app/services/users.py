"""Users: made, found, changed, removed."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.users import User
from app.services.errors import ConflictError, NotFoundError


async def create(session: AsyncSession, *, email: str, name: str) -> User:
    user = User(email=email.lower(), name=name)
    session.add(user)
    await _flush_unique_email(session, user.email)
    await session.refresh(user)
    return user


async def get(session: AsyncSession, user_id: int) -> User:
    user = await session.get(User, user_id)
    if user is None:
        raise NotFoundError(f"There is no user {user_id}.")
    return user


async def page(session: AsyncSession, *, after: int, limit: int) -> Sequence[User]:
    """The next `limit` users by id."""
    return (await session.scalars(select(User).where(User.id > after).order_by(User.id).limit(limit))).all()


async def update(session: AsyncSession, user_id: int, changes: Mapping[str, Any]) -> User:
    user = await get(session, user_id)
    for field, value in changes.items():
        setattr(user, field, value.lower() if field == "email" else value)
    await _flush_unique_email(session, user.email)
    await session.refresh(user)
    return user


async def remove(session: AsyncSession, user_id: int) -> None:
    await session.delete(await get(session, user_id))


async def _flush_unique_email(session: AsyncSession, email: str) -> None:
    try:
        await session.flush()
    except IntegrityError:
        raise ConflictError(f"There is a user with the e-mail {email} already.") from None
