"""Messages to one person."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.exceptions import Retry
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.mail import MailAwayError, MailPutOffError, MailRefusedError
from app.models.email_tokens import EmailToken
from app.models.users import User
from app.services import email_tokens
from app.services.errors import NotFoundError
from app.tasks import emails
from tests.fixtures.examples import MailServer


@pytest.fixture
async def ada(session: AsyncSession) -> int:
    async with session.begin():
        session.add(User(id=7, email="ada@example.org", name="Ada"))
    return 7


@pytest.fixture
def in_worker() -> Iterator[None]:
    """As in a worker, which is asked by a message and not by a call."""
    emails.send_verification.push_request(id="0198c7a4", called_directly=False, is_eager=True, retries=0)
    yield
    emails.send_verification.pop_request()


@pytest.mark.parametrize(
    ("task", "purpose"),
    [(emails.send_verification, "verification"), (emails.send_password_reset, "password reset")],
)
async def test_the_link_that_is_sent_can_be_redeemed(
    session: AsyncSession, ada: int, mail_server: MailServer, task: Any, purpose: str
) -> None:
    assert task(user_id=ada) is None
    (message,) = mail_server.inbox
    _, token = message.get_body(("plain",)).get_content().split("/email-tokens#")  # type: ignore[union-attr]  # it has one
    async with session.begin():
        redeemed = await email_tokens.redeem(session, token.split()[0])
    assert (redeemed.user_id, redeemed.purpose) == (ada, purpose)


async def test_a_task_that_runs_twice_sends_two_links_that_both_work(
    session: AsyncSession, ada: int, mail_server: MailServer
) -> None:
    emails.send_verification(user_id=ada)
    emails.send_verification(user_id=ada)
    assert len(mail_server.inbox) == 2
    assert len((await session.scalars(select(EmailToken).where(EmailToken.used_at.is_(None)))).all()) == 2


def test_an_unknown_user_fails_at_once(in_worker: None, mail_server: MailServer) -> None:
    with pytest.raises(NotFoundError, match="There is no user 8"):
        emails.send_verification.run(user_id=8)
    assert not mail_server.inbox


@pytest.mark.parametrize(("answer", "error"), [("421 closing", MailAwayError), ("451 try later", MailPutOffError)])
async def test_what_may_pass_is_tried_again_with_growing_pauses(
    ada: int, in_worker: None, mail_server: MailServer, answer: str, error: type[Exception]
) -> None:
    pauses: list[float] = []
    for retries in range(10):
        mail_server.refusals["ada@example.org"] = answer
        emails.send_verification.request.retries = retries
        with pytest.raises(Retry) as retry:
            emails.send_verification.run(user_id=ada)
        assert isinstance(retry.value.exc, error)
        assert isinstance(retry.value.when, int | float)
        pauses.append(retry.value.when)
    assert all(0 <= pause <= min(2 * 2**retries, 600) for retries, pause in enumerate(pauses))
    assert not mail_server.inbox


async def test_it_gives_up_with_the_last_error(ada: int, in_worker: None) -> None:
    emails.send_verification.request.retries = 10
    with pytest.raises(MailAwayError, match="does not answer"):
        emails.send_verification.run(user_id=ada)


async def test_a_refusal_fails_at_once(ada: int, in_worker: None, mail_server: MailServer) -> None:
    mail_server.refusals["ada@example.org"] = "550 no such mailbox"
    with pytest.raises(MailRefusedError, match="550 no such mailbox"):
        emails.send_verification.run(user_id=ada)


async def test_the_log_has_no_token_and_no_address(
    ada: int, mail_server: MailServer, log: Callable[[], list[dict[str, Any]]]
) -> None:
    emails.send_verification(user_id=ada)
    (message,) = mail_server.inbox
    token = message.get_body(("plain",)).get_content().split("#")[1].split()[0]  # type: ignore[union-attr]  # it has one
    logged = json.dumps([entry for entry in log() if entry["logger"] != "mail.log"])  # which is the server's
    assert token not in logged
    assert "ada@" not in logged
