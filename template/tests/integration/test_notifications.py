"""Messages to many people: from request to inboxes, with a real worker and a real mail server."""

import asyncio
import os
import signal
import subprocess
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.notifications import Notification
from app.models.users import User
from app.tasks.notifications import CHUNK
from tests.fixtures.examples import HOST, MAIL_PORT, MailServer
from tests.fixtures.worker import TASKS, outcome, run_task, until

pytestmark = pytest.mark.usefixtures("worker")

MESSAGE = {"subject": "We move", "text": "On Sunday we are closed."}


async def add_users(session: AsyncSession, addresses: list[str]) -> None:
    async with session.begin():
        await session.execute(insert(User), [{"email": address, "name": "Ada"} for address in addresses])


async def has_begun(mail_server: MailServer) -> int:
    return len(mail_server.inbox)


def children(process: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(process), "celery|python"], capture_output=True, text=True, check=True)
    return [int(child) for child in found.stdout.split()]


async def test_each_is_sent_to_once_and_the_whole_is_followed_by_one_id(
    shop: httpx2.AsyncClient, session: AsyncSession, mail_server: MailServer
) -> None:
    # only the first and the last can be sent to, which does not take long
    await add_users(session, ["ada@example.org", *(f"nobody {one}" for one in range(CHUNK)), "grace@example.org"])
    location = (await shop.post(f"{TASKS}/notifications.announce", json=MESSAGE)).headers["Location"]

    async def first_chunk() -> dict[str, Any] | None:
        task: dict[str, Any] = (await shop.get(location)).json()
        return task if task["progress"] and task["progress"]["current"] else None

    seen = await until(first_chunk)
    task = await outcome(shop, location)
    assert (seen["status"], seen["progress"]["total"]) == ("PROGRESS", 2)
    assert task["status"] == "SUCCESS", task
    assert (task["result"]["sent"], task["result"]["failed"], len(task["result"]["failures"])) == (2, CHUNK, 100)
    assert task["result"]["failures"][0]["error"] == "this user has no valid e-mail address"
    assert [message["To"] for message in mail_server.inbox] == ["ada@example.org", "grace@example.org"]


async def test_what_is_announced_again_goes_to_those_whom_it_has_not_reached(
    shop: httpx2.AsyncClient, session: AsyncSession, mail_server: MailServer
) -> None:
    await add_users(session, ["ada@example.org", "grace@example.org"])
    mail_server.refusals["grace@example.org"] = "550 no such mailbox"
    first = await run_task(shop, "notifications.announce", MESSAGE)
    mail_server.refusals.clear()
    second = await run_task(shop, "notifications.announce", {**MESSAGE, "campaign": first["task_id"]})
    assert (first["result"]["sent"], second["result"]["sent"]) == (1, 2)
    assert [message["To"] for message in mail_server.inbox] == ["ada@example.org", "grace@example.org"]


async def test_a_replay_of_one_that_failed_goes_on_with_it(
    shop: httpx2.AsyncClient, session: AsyncSession, request: pytest.FixtureRequest
) -> None:
    await add_users(session, ["ada@example.org", "grace@example.org"])

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 not from there\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, HOST, MAIL_PORT):
        failed = await run_task(shop, "notifications.announce", MESSAGE)
    assert failed["status"] == "FAILURE", failed
    assert "554 not from there" in failed["error"]["message"]
    async with session.begin():
        ada = select(func.min(User.id)).scalar_subquery()
        await session.execute(update(Notification).where(Notification.user_id == ada).values(status="sent"))

    mail_server: MailServer = request.getfixturevalue("mail_server")
    replayed = await shop.post(f"{TASKS}/{failed['task_id']}/replay")
    task = await outcome(shop, replayed.headers["Location"])
    assert task["result"]["sent"] == 2
    assert [message["To"] for message in mail_server.inbox] == ["grace@example.org"]


async def test_a_chunk_whose_worker_is_killed_goes_on_where_it_stopped(
    shop: httpx2.AsyncClient, session: AsyncSession, mail_server: MailServer
) -> None:
    await add_users(session, [f"user{one}@example.org" for one in range(CHUNK)])
    location = (await shop.post(f"{TASKS}/notifications.announce", json=MESSAGE)).headers["Location"]
    await until(lambda: has_begun(mail_server))
    (worker,) = children(os.getpid())
    for process in children(worker):
        os.kill(process, signal.SIGKILL)
    assert len(mail_server.inbox) < CHUNK
    task = await outcome(shop, location)
    assert (task["status"], task["result"]["sent"]) == ("SUCCESS", CHUNK)
    assert len({message["To"] for message in mail_server.inbox}) == CHUNK
    assert len(mail_server.inbox) <= CHUNK + 1  # the one to whom it was sending


async def test_one_that_is_cancelled_in_the_middle_sends_no_more(
    shop: httpx2.AsyncClient, session: AsyncSession, mail_server: MailServer
) -> None:
    await add_users(session, [f"user{one}@example.org" for one in range(CHUNK)])
    location = (await shop.post(f"{TASKS}/notifications.announce", json=MESSAGE)).headers["Location"]
    await until(lambda: has_begun(mail_server))
    assert (await shop.delete(location)).status_code == 202
    assert (await run_task(shop, "users.update_stats"))["status"] == "SUCCESS"  # the worker is free again
    assert len(mail_server.inbox) < CHUNK
    assert (await shop.get(location)).json()["status"] == "REVOKED"


async def test_where_nobody_is_it_ends_at_once(shop: httpx2.AsyncClient) -> None:
    task = await run_task(shop, "notifications.announce", MESSAGE)
    assert (task["status"], task["result"]) == ("SUCCESS", {"sent": 0, "failed": 0, "failures": []})
