"""Messages to many people, in chunks."""

from typing import Annotated, Any

from celery import chord
from celery.exceptions import SoftTimeLimitExceeded
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.brokers import priority
from app.core.celery import celery_app, with_db_init
from app.core.config.celery import get_celery_settings
from app.core.mail import MailAwayError, MailPutOffError, open_mail
from app.core.task_base import BaseTask
from app.core.workflow_progress import begin_workflow, finish_part
from app.schemas.notifications import Summary
from app.services import notifications

celery_app.conf.task_routes |= {
    "notifications.send_chunk": {"queue": "low_priority", "priority": priority(get_celery_settings(), 3)}
}

CHUNK = 200
Subject = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\t\r\n]+$", examples=["We move"])]
Text = Annotated[str, Field(min_length=1, max_length=10_000, examples=["On Sunday we are closed."])]
Campaign = Annotated[str, Field(min_length=1, max_length=100)]


@celery_app.task(name="notifications.announce", bind=True, exposed=True)
@with_db_init
async def announce(
    self: BaseTask[..., Any], *, subject: Subject, text: Text, campaign: Campaign | None = None, session: AsyncSession
) -> Summary:
    """Send a message to all users; returns how many were sent it, and what was wrong with the others.

    With the id of an earlier task as the `campaign`, or with a name that you give it: to those whom it has not reached.
    """
    campaign = campaign or self.request.id
    chunks, after = [], 0
    while True:
        async with session.begin():
            chunk = await notifications.add_chunk(session, campaign, after=after, limit=CHUNK)
        if chunk is None:
            break
        chunks.append(chunk)
        after = chunk[1]
    if not chunks:  # a chord of nothing would never come to its end
        return await notifications.summarise(session, campaign)
    begin_workflow(self, len(chunks))
    self.request.kwargs["campaign"] = campaign  # a replay of it sends to nobody twice
    message = {"campaign": campaign, "subject": subject, "text": text}
    parts = [send_chunk.si(**message, first_user=first, last_user=last) for first, last in chunks]
    raise self.replace(chord(parts, summarise.si(campaign=campaign)))


@celery_app.task(
    name="notifications.send_chunk",
    bind=True,
    rate_limit="50/m",  # for each worker: 10,000 messages a minute
    autoretry_for=(MailAwayError, SoftTimeLimitExceeded),
    max_retries=8,
    retry_backoff=10,
    retry_backoff_max=600,
    retry_jitter=True,
)
@with_db_init
async def send_chunk(
    self: BaseTask[..., Any],
    *,
    campaign: Campaign,
    subject: Subject,
    text: Text,
    first_user: int,
    last_user: int,
    session: AsyncSession,
) -> None:
    """Send it to those of the chunk who wait for it, over one connection."""
    put_off, after = 0, first_user - 1
    try:
        async with open_mail() as mailer:
            while not self.is_aborted():  # nor was the whole cancelled
                async with session.begin():
                    one = await notifications.send_next(
                        session, mailer, campaign, after=after, last=last_user, subject=subject, text=text
                    )
                if one is None:
                    break
                after = one.user_id
                put_off += one.status == "waiting"
        if put_off:
            raise MailPutOffError(f"{put_off} were put off")
    except MailAwayError as error:
        if self.request.retries < (self.max_retries or 0):
            raise
        # the others are not to wait for these
        async with session.begin():
            await notifications.give_up(session, campaign, first=first_user, last=last_user, error=str(error))
    finish_part(self)


@celery_app.task(name="notifications.summarise")
@with_db_init
async def summarise(*, campaign: Campaign, session: AsyncSession) -> Summary:
    """What became of it."""
    return await notifications.summarise(session, campaign)
