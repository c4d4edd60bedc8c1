"""Messages to many people, in chunks."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery.canvas import Signature
from celery.exceptions import Ignore, Retry, SoftTimeLimitExceeded
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app
from app.core.mail import MailAwayError, MailPutOffError, MailRefusedError
from app.core.task_arguments import ArgumentsError
from app.models.notifications import Notification
from app.models.users import User
from app.services import notifications as service
from app.tasks import notifications
from tests.fixtures.examples import MailServer

MESSAGE = {"subject": "We move", "text": "On Sunday we are closed."}
CHUNK = {**MESSAGE, "campaign": "0198c7a4", "first_user": 1, "last_user": 9}


@pytest.fixture
async def _users(session: AsyncSession) -> None:
    async with session.begin():
        session.add_all(User(id=one, email=f"user{one}@example.org", name="Ada") for one in (1, 2, 3))
        await session.flush()
        session.add_all(Notification(campaign="0198c7a4", user_id=one) for one in (1, 2, 3))


@pytest.fixture
def put_in_its_place(monkeypatch: pytest.MonkeyPatch) -> list[Signature]:
    """What the task that announces goes on with."""
    replaced: list[Signature] = []

    def replace(signature: Signature) -> None:
        replaced.append(signature)
        raise Ignore

    monkeypatch.setattr(notifications.announce, "replace", replace)
    return replaced


@pytest.fixture
def in_worker() -> Iterator[None]:
    """As in a worker, which is asked by a message and not by a call."""
    notifications.send_chunk.push_request(id="0198c7a5", called_directly=False, is_eager=True, retries=0)
    yield
    notifications.send_chunk.pop_request()


async def status(session: AsyncSession) -> list[str]:
    return list(await session.scalars(select(Notification.status).order_by(Notification.user_id)))


@pytest.mark.usefixtures("_users")
async def test_announce_goes_on_with_chunks_and_a_summary(
    put_in_its_place: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "CHUNK", 2)
    with pytest.raises(Ignore):
        notifications.announce(**MESSAGE, campaign="moving")
    (whole,) = put_in_its_place
    message = {**MESSAGE, "campaign": "moving"}
    assert [part.kwargs for part in whole.tasks] == [
        {**message, "first_user": 1, "last_user": 2},
        {**message, "first_user": 3, "last_user": 3},
    ]
    assert (whole.body.task, whole.body.kwargs) == ("notifications.summarise", {"campaign": "moving"})


def test_announce_ends_at_once_where_nobody_is(put_in_its_place: list[Any]) -> None:
    assert notifications.announce(**MESSAGE, campaign="moving") == {"sent": 0, "failed": 0, "failures": []}
    assert not put_in_its_place


@pytest.mark.parametrize(
    ("argument", "value"),
    [("subject", "Two\nlines"), ("subject", ""), ("text", ""), ("text", "x" * 10_001), ("campaign", "")],
)
def test_announce_refuses_what_is_no_message(argument: str, value: str) -> None:
    with pytest.raises(ArgumentsError, match=argument):
        notifications.announce(**MESSAGE | {argument: value})


@pytest.mark.usefixtures("_users")
async def test_a_chunk_that_runs_again_sends_to_nobody_twice(session: AsyncSession, mail_server: MailServer) -> None:
    notifications.send_chunk(**CHUNK)
    notifications.send_chunk(**CHUNK)
    assert len(mail_server.inbox) == 3
    assert notifications.summarise(campaign="0198c7a4")["sent"] == 3


@pytest.mark.usefixtures("_users", "in_worker")
async def test_a_server_that_goes_away_in_the_middle_is_tried_again_for_the_others(
    session: AsyncSession, mail_server: MailServer
) -> None:
    mail_server.refusals["user2@example.org"] = "421 closing"
    with pytest.raises(Retry) as retry:
        notifications.send_chunk.run(**CHUNK)
    assert isinstance(retry.value.exc, MailAwayError)
    assert await status(session) == ["sent", "waiting", "waiting"]
    notifications.send_chunk.run(**CHUNK)
    assert [message["To"] for message in mail_server.inbox] == [f"user{one}@example.org" for one in (1, 2, 3)]


@pytest.mark.usefixtures("_users", "in_worker")
async def test_who_is_put_off_does_not_keep_the_others_waiting(session: AsyncSession, mail_server: MailServer) -> None:
    mail_server.refusals["user1@example.org"] = "451 try later"
    with pytest.raises(Retry) as retry:
        notifications.send_chunk.run(**CHUNK)
    assert isinstance(retry.value.exc, MailPutOffError)
    assert await status(session) == ["waiting", "sent", "sent"]


@pytest.mark.usefixtures("_users", "in_worker")
async def test_a_chunk_that_takes_too_long_is_tried_again_for_the_others(
    session: AsyncSession, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_next = service.send_next

    async def send_one(*arguments: Any, after: int, **options: Any) -> Any:
        if after:
            raise SoftTimeLimitExceeded
        return await send_next(*arguments, after=after, **options)

    monkeypatch.setattr(service, "send_next", send_one)
    with pytest.raises(Retry):
        notifications.send_chunk.run(**CHUNK)
    assert await status(session) == ["sent", "waiting", "waiting"]


@pytest.mark.usefixtures("_users", "in_worker")
async def test_a_chunk_gives_up_in_the_end_and_the_whole_goes_on(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications.send_chunk, "max_retries", 0)
    notifications.send_chunk.run(**CHUNK)
    assert await status(session) == ["failed"] * 3
    (first, *_) = notifications.summarise(campaign="0198c7a4")["failures"]
    assert "does not answer" in first["error"]


@pytest.mark.usefixtures("_users", "in_worker")
async def test_a_server_that_does_not_let_us_in_fails_the_chunk_at_once(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise MailRefusedError("535 wrong password")

    monkeypatch.setattr(notifications, "open_mail", refuse)
    with pytest.raises(MailRefusedError):
        notifications.send_chunk.run(**CHUNK)
    assert await status(session) == ["waiting"] * 3


def test_chunks_have_a_queue_of_their_own() -> None:
    queued_in = celery_app.amqp.router.route({}, "notifications.send_chunk")["queue"].name
    assert queued_in == "low_priority"
