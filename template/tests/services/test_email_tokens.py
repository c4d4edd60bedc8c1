"""The secret in a link that is sent by e-mail."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.email_tokens import EmailToken
from app.models.users import User
from app.services import email_tokens
from app.services.errors import NotFoundError


@pytest.fixture
async def token(session: AsyncSession) -> str:
    async with session.begin():
        session.add(User(id=7, email="ada@example.org", name="Ada"))
        await session.flush()
        return email_tokens.issue(session, 7, "password reset")


async def test_a_token_says_once_whose_it_is_and_what_for(session: AsyncSession, token: str) -> None:
    async with session.begin():
        redeemed = await email_tokens.redeem(session, token)
    assert (redeemed.user_id, redeemed.purpose) == (7, "password reset")
    with pytest.raises(NotFoundError, match="unknown, used, or too old"):
        await email_tokens.redeem(session, token)


async def test_a_token_expires(session: AsyncSession, token: str) -> None:
    async with session.begin():
        await session.execute(update(EmailToken).values(expires_at=datetime.now(UTC) - timedelta(microseconds=1)))
    with pytest.raises(NotFoundError, match="unknown, used, or too old"):
        await email_tokens.redeem(session, token)


@pytest.mark.parametrize("guess", ["", "x", "Grüße" * 100])
async def test_what_is_no_token_is_not_found(session: AsyncSession, token: str, guess: str) -> None:
    with pytest.raises(NotFoundError, match="unknown, used, or too old"):
        await email_tokens.redeem(session, guess)


async def test_who_reads_the_table_can_use_no_link(session: AsyncSession, token: str) -> None:
    kept = await session.scalar(select(EmailToken.token_hash))
    assert kept
    assert token not in kept
    with pytest.raises(NotFoundError):
        await email_tokens.redeem(session, kept)
