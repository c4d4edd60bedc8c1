"""One message to many people: to whom it goes, and what became of it with each of them."""

from sqlalchemy import func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.mail import Mailer, MailPutOffError, MailRefusedError
from app.models.notifications import Notification
from app.models.users import User
from app.schemas.notifications import Failure, Summary
from app.services import emails

MOST_FAILURES = 100


async def add_chunk(session: AsyncSession, campaign: str, *, after: int, limit: int) -> tuple[int, int] | None:
    """Have the next `limit` users wait for it, but those who were sent it; the first and the last, or None at the end.

    The campaign may be an earlier one: those whom it did not reach wait again.
    """
    ids = (await session.scalars(select(User.id).where(User.id > after).order_by(User.id).limit(limit))).all()
    if not ids:
        return None
    chunk = (ids[0], ids[-1])
    noted = (Notification.campaign == campaign, Notification.user_id.between(*chunk))
    await session.execute(
        update(Notification).where(*noted, Notification.status == "failed").values(status="waiting", error=None)
    )
    new = select(literal(campaign), User.id).where(
        User.id.between(*chunk), User.id.not_in(select(Notification.user_id).where(*noted))
    )
    # no user is deleted between the two ends of this statement
    new = new.with_for_update(key_share=True, of=User)
    await session.execute(insert(Notification).from_select(["campaign", "user_id"], new))
    return chunk


async def send_next(
    session: AsyncSession, mailer: Mailer, campaign: str, *, after: int, last: int, subject: str, text: str
) -> Notification | None:
    """Send it to the next one up to `last` who waits; None if there is none. Commit at once: it has been sent.

    Whom the server puts off waits on. MailAwayError if the server is away.
    """
    waiting = (
        select(Notification, User)
        .join(User, User.id == Notification.user_id)
        .where(Notification.campaign == campaign, Notification.status == "waiting")
        .where(Notification.user_id > after, Notification.user_id <= last)
        .order_by(Notification.user_id)
        .limit(1)
        # of two runs, each sends to others. SQLite has no such lock: there both might send to one
        .with_for_update(of=Notification, skip_locked=True)
    )
    found = (await session.execute(waiting)).first()
    if found is None:
        return None
    notification, user = found
    try:
        await mailer.send(emails.write(user, subject, "announcement", text=text))
    except MailPutOffError as error:
        notification.error = str(error)
    except MailRefusedError as error:
        notification.status, notification.error = "failed", str(error)
    else:
        notification.status, notification.error = "sent", None
    return notification


async def give_up(session: AsyncSession, campaign: str, *, first: int, last: int, error: str) -> None:
    """Whoever waits still, waits no longer."""
    waiting = (Notification.campaign == campaign, Notification.status == "waiting")
    await session.execute(
        update(Notification)
        .where(*waiting, Notification.user_id.between(first, last))
        .values(status="failed", error=func.coalesce(Notification.error, error))
    )


async def summarise(session: AsyncSession, campaign: str) -> Summary:
    counts = await session.execute(
        select(Notification.status, func.count()).where(Notification.campaign == campaign).group_by(Notification.status)
    )
    by_status = dict(counts.all())
    failed = await session.execute(
        select(Notification.user_id, Notification.error)
        .where(Notification.campaign == campaign, Notification.status == "failed")
        .order_by(Notification.user_id)
        .limit(MOST_FAILURES)
    )
    return Summary(
        sent=by_status.get("sent", 0),
        failed=by_status.get("failed", 0),
        failures=[Failure(user_id=user_id, error=error or "") for user_id, error in failed],
    )
