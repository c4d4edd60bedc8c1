"""The figures of users over REST, by both forms of `with_db_init`, with a real worker."""

import httpx2
import pytest

from tests.fixtures.worker import TASKS, outcome, run_task

pytestmark = pytest.mark.usefixtures("worker")

FORMS = ("users.update_stats", "users.update_stats_plain")


async def test_both_forms_end_with_the_same_result(shop: httpx2.AsyncClient) -> None:
    await shop.post("/api/v1/users", json={"email": "ada@example.org", "name": "Ada"})
    first, second = [(await run_task(shop, name))["result"] for name in FORMS]
    assert first == second
    assert first["users"] == 1


async def test_both_forms_can_run_again_and_again_in_one_process(shop: httpx2.AsyncClient) -> None:
    queued = [await shop.post(f"{TASKS}/{name}", json={"day": "2026-05-04"}) for _ in range(5) for name in FORMS]
    ended = [await outcome(shop, answer.headers["Location"]) for answer in queued]
    assert {task["status"] for task in ended} == {"SUCCESS"}
