"""Messages to one person: from request to inbox, with a real worker and a real mail server."""

import httpx2
import pytest

from tests.fixtures.examples import MailServer
from tests.fixtures.worker import run_task

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
async def ada(shop: httpx2.AsyncClient) -> int:
    user_id: int = (await shop.post("/api/v1/users", json={"email": "ada@example.org", "name": "Ada"})).json()["id"]
    return user_id


async def test_a_link_is_asked_for_sent_and_redeemed(
    shop: httpx2.AsyncClient, ada: int, mail_server: MailServer
) -> None:
    task = await run_task(shop, "emails.send_verification", {"user_id": ada})
    assert (task["status"], task["result"]) == ("SUCCESS", None)
    (message,) = mail_server.inbox
    token = message.get_body(("plain",)).get_content().split("#")[1].split()[0]  # type: ignore[union-attr]  # it has one
    redeemed = await shop.post("/api/v1/email-tokens", json={"token": token})
    assert redeemed.json() == {"user_id": ada, "purpose": "verification"}


async def test_a_refusal_is_told_at_once_and_an_unknown_user_too(
    shop: httpx2.AsyncClient, ada: int, mail_server: MailServer
) -> None:
    mail_server.refusals["ada@example.org"] = "550 <ada@example.org>: no such mailbox"
    task = await run_task(shop, "emails.send_verification", {"user_id": ada})
    assert (task["status"], task["retries"]) == ("FAILURE", 0)
    assert task["error"]["type"] == "MailRefusedError"
    assert task["error"]["message"] == "550 <the recipient>: no such mailbox"
    unknown = await run_task(shop, "emails.send_password_reset", {"user_id": ada + 1})
    assert (unknown["status"], unknown["error"]["type"]) == ("FAILURE", "NotFoundError")


async def test_a_server_that_puts_a_message_off_is_tried_again(
    shop: httpx2.AsyncClient, ada: int, mail_server: MailServer
) -> None:
    mail_server.refusals["ada@example.org"] = "451 try later"
    task = await run_task(shop, "emails.send_verification", {"user_id": ada})
    assert (task["status"], task["retries"]) == ("SUCCESS", 1)
    assert len(mail_server.inbox) == 1
