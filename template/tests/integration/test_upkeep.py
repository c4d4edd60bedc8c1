"""A backup made by a real worker."""

import httpx2
import pytest

from app.core import stored_files
from tests.fixtures.worker import run_task

pytestmark = pytest.mark.usefixtures("worker")


async def test_upkeep_is_queued_over_http(shop: httpx2.AsyncClient) -> None:
    await shop.post("/api/v1/users", json={"email": "ada@example.org", "name": "Ada"})
    task = await run_task(shop, "upkeep.back_up_database")
    assert task["status"] == "SUCCESS", task
    assert (stored_files.folder("backups") / task["result"]["file"]).stat().st_size == task["result"]["bytes"] > 0
    for name in ("upkeep.remove_old_files", "upkeep.remove_expired_sessions"):
        assert (await run_task(shop, name))["status"] == "SUCCESS"
