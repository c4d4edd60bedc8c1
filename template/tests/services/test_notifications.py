"""To whom a message goes, and what became of it with each of them."""

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.mail import MailAwayError, open_mail
from app.models.notifications import Notification
from app.models.users import User
from app.services import notifications
from tests.fixtures.examples import MailServer

CAMPAIGN = "0198c7a4"


async def add_users(session: AsyncSession, *ids: int) -> None:
    async with session.begin():
        session.add_all(User(id=one, email=f"user{one}@example.org", name="Ada") for one in ids)


@pytest.fixture
async def _three_users(session: AsyncSession) -> None:
    await add_users(session, 3, 5, 7)


async def add_all(session: AsyncSession, campaign: str = CAMPAIGN, limit: int = 2) -> list[tuple[int, int]]:
    chunks: list[tuple[int, int]] = []
    after = 0
    while True:
        async with session.begin():
            chunk = await notifications.add_chunk(session, campaign, after=after, limit=limit)
        if chunk is None:
            return chunks
        chunks.append(chunk)
        after = chunk[1]


async def send_all(session: AsyncSession, first: int = 1, last: int = 100) -> list[int]:
    """Those who were looked at."""
    seen: list[int] = []
    after = first - 1
    async with open_mail() as mailer:
        while True:
            async with session.begin():
                one = await notifications.send_next(
                    session, mailer, CAMPAIGN, after=after, last=last, subject="We move", text="On Sunday."
                )
            if one is None:
                return seen
            after = one.user_id
            seen.append(after)


async def status(session: AsyncSession) -> list[tuple[int, str]]:
    async with session.begin():
        found = await session.execute(select(Notification.user_id, Notification.status).order_by(Notification.user_id))
    return [(user_id, status) for user_id, status in found]


@pytest.mark.usefixtures("_three_users")
async def test_chunks_hold_everyone_once(session: AsyncSession) -> None:
    assert await add_all(session) == [(3, 5), (7, 7)]
    assert await status(session) == [(3, "waiting"), (5, "waiting"), (7, "waiting")]


async def test_where_nobody_is_there_is_no_chunk(session: AsyncSession) -> None:
    assert await add_all(session) == []
    assert await notifications.summarise(session, CAMPAIGN) == {"sent": 0, "failed": 0, "failures": []}


@pytest.mark.usefixtures("_three_users")
async def test_what_is_announced_again_reaches_those_whom_it_has_not_reached(session: AsyncSession) -> None:
    await add_all(session)
    for user_id, ended in ((3, "sent"), (5, "failed")):
        async with session.begin():
            await session.execute(update(Notification).where(Notification.user_id == user_id).values(status=ended))
    await add_users(session, 9)
    assert await add_all(session) == [(3, 5), (7, 9)]
    assert await status(session) == [(3, "sent"), (5, "waiting"), (7, "waiting"), (9, "waiting")]


@pytest.mark.usefixtures("_three_users")
async def test_each_campaign_stands_for_itself(session: AsyncSession) -> None:
    await add_all(session)
    async with session.begin():
        await session.execute(update(Notification).values(status="sent"))
    await add_all(session, "another")
    assert (await notifications.summarise(session, "another"))["sent"] == 0
    assert (await notifications.summarise(session, CAMPAIGN))["sent"] == 3


@pytest.mark.usefixtures("_three_users")
async def test_each_of_a_chunk_is_sent_to_once(session: AsyncSession, mail_server: MailServer) -> None:
    await add_all(session)
    assert await send_all(session, 3, 5) == [3, 5]
    assert await send_all(session) == [7]
    assert await send_all(session) == []
    assert [message["To"] for message in mail_server.inbox] == [f"user{one}@example.org" for one in (3, 5, 7)]
    assert {message["Subject"] for message in mail_server.inbox} == {"We move"}


@pytest.mark.usefixtures("_three_users")
async def test_a_refused_one_is_noted_and_the_others_are_sent_to(
    session: AsyncSession, mail_server: MailServer
) -> None:
    mail_server.refusals["user3@example.org"] = "550 no such mailbox"
    async with session.begin():
        await session.execute(update(User).where(User.id == 5).values(email="nobody"))
    await add_all(session)
    assert await send_all(session) == [3, 5, 7]
    assert await notifications.summarise(session, CAMPAIGN) == {
        "sent": 1,
        "failed": 2,
        "failures": [
            {"user_id": 3, "error": "550 no such mailbox"},
            {"user_id": 5, "error": "this user has no valid e-mail address"},
        ],
    }


@pytest.mark.usefixtures("_three_users")
async def test_whom_the_server_puts_off_waits_on(session: AsyncSession, mail_server: MailServer) -> None:
    mail_server.refusals["user3@example.org"] = "451 try later"
    await add_all(session)
    assert await send_all(session) == [3, 5, 7]
    assert await status(session) == [(3, "waiting"), (5, "sent"), (7, "sent")]
    assert await send_all(session) == [3]
    assert (await notifications.summarise(session, CAMPAIGN))["sent"] == 3


@pytest.mark.usefixtures("_three_users")
async def test_what_is_given_up_says_why(session: AsyncSession, mail_server: MailServer) -> None:
    mail_server.refusals |= {"user3@example.org": "451 try later", "user5@example.org": "421 closing"}
    await add_all(session)
    with pytest.raises(MailAwayError):
        await send_all(session)
    async with session.begin():
        await notifications.give_up(session, CAMPAIGN, first=3, last=5, error="it is away")
    assert await status(session) == [(3, "failed"), (5, "failed"), (7, "waiting")]
    summary = await notifications.summarise(session, CAMPAIGN)
    assert [failure["error"] for failure in summary["failures"]] == ["451 try later", "it is away"]


@pytest.mark.usefixtures("_three_users")
async def test_who_is_deleted_meanwhile_is_sent_nothing(session: AsyncSession, mail_server: MailServer) -> None:
    await add_all(session)
    async with session.begin():
        await session.execute(delete(User).where(User.id == 5))
    assert await send_all(session) == [3, 7]
    assert await notifications.summarise(session, CAMPAIGN) == {"sent": 2, "failed": 0, "failures": []}


@pytest.mark.usefixtures("_three_users")
async def test_the_first_failures_are_told_and_all_counted(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "MOST_FAILURES", 2)
    await add_all(session)
    async with session.begin():
        await notifications.give_up(session, CAMPAIGN, first=1, last=100, error="it is away")
    summary = await notifications.summarise(session, CAMPAIGN)
    assert summary["failed"] == 3
    assert [failure["user_id"] for failure in summary["failures"]] == [3, 5]
