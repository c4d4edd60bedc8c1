"""The secret in a link that is sent by e-mail: made, and redeemed once."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.email_tokens import EmailToken, TokenPurpose
from app.services.errors import NotFoundError

LIFETIMES: dict[TokenPurpose, timedelta] = {"verification": timedelta(days=3), "password reset": timedelta(hours=1)}


def issue(session: AsyncSession, user_id: int, purpose: TokenPurpose) -> str:
    """The secret itself: it goes into the message, and is kept nowhere else."""
    token = secrets.token_urlsafe()
    expires_at = datetime.now(UTC) + LIFETIMES[purpose]
    session.add(EmailToken(token_hash=_hash(token), user_id=user_id, purpose=purpose, expires_at=expires_at))
    return token


async def redeem(session: AsyncSession, token: str) -> EmailToken:
    """Use it up. NotFoundError says nothing of why, for whoever guesses would learn from it."""
    now = datetime.now(UTC)
    valid = (EmailToken.token_hash == _hash(token), EmailToken.used_at.is_(None), EmailToken.expires_at > now)
    # one statement: of two who come at the same time, one gets it
    redeemed: EmailToken | None = await session.scalar(
        update(EmailToken).where(*valid).values(used_at=now).returning(EmailToken)
    )
    if redeemed is None:
        raise NotFoundError("This link is unknown, used, or too old; ask for a new one.")
    return redeemed


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
