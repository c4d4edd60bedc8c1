"""Messages to one person."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app, with_db_init
from app.core.mail import MailAwayError
from app.models.email_tokens import TokenPurpose
from app.services import email_tokens, emails, users

UserId = Annotated[int, Field(ge=1, le=2**31 - 1, examples=[1])]
PATIENTLY: dict[str, Any] = {
    "autoretry_for": (MailAwayError,),
    "max_retries": 10,  # about a quarter of an hour: pauses of 1, 2, 4 ... 300 seconds on average
    "retry_backoff": 2,
    "retry_backoff_max": 600,
    "retry_jitter": True,
}


@celery_app.task(name="emails.send_verification", exposed=True, **PATIENTLY)
@with_db_init
async def send_verification(*, user_id: UserId, session: AsyncSession) -> None:
    """Send a link that shows whose address it is. Tried again while the mail server is away or puts it off."""
    await _send_link(session, user_id, "verification")


@celery_app.task(name="emails.send_password_reset", exposed=True, **PATIENTLY)
@with_db_init
async def send_password_reset(*, user_id: UserId, session: AsyncSession) -> None:
    """Send a link for a new password. Tried again while the mail server is away or puts it off."""
    await _send_link(session, user_id, "password reset")


async def _send_link(session: AsyncSession, user_id: int, purpose: TokenPurpose) -> None:
    async with session.begin():
        user = await users.get(session, user_id)
        token = email_tokens.issue(session, user.id, purpose)
    await emails.send_link(user, purpose, token)
