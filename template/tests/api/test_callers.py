"""Who may use the task API, and whose tasks they see."""

from hashlib import sha256

import httpx2
import pytest

from app.core.config.base import SettingsError
from app.core.config.task_api import get_task_api_settings
from tests.fixtures.celery import KEYS, bearer

pytestmark = pytest.mark.usefixtures("redis_server")

TASKS = "/api/v1/tasks"
CALLS = [
    ("POST", f"{TASKS}/users.update_stats"),
    ("POST", f"{TASKS}/users.nothing"),
    ("GET", TASKS),
    ("GET", f"{TASKS}/0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10"),
    ("DELETE", f"{TASKS}/0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10"),
    ("POST", f"{TASKS}/0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10/replay"),
    ("GET", "/api/v1/schedule"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("authorization", [None, "Bearer nothing", "Bearer ", "Basic key of shop", "key of shop"])
async def test_without_a_known_key_nothing_is_answered(
    client: httpx2.AsyncClient, method: str, path: str, authorization: str | None
) -> None:
    answer = await client.request(method, path, headers={"Authorization": authorization} if authorization else {})
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_in_development_no_key_is_needed_and_a_wrong_one_is_refused(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_ENV", "development")
    assert (await client.get(TASKS)).status_code == 200
    assert (await client.get(TASKS, headers={"Authorization": "Bearer nothing"})).status_code == 401


@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("DELETE", ""), ("POST", "/replay")])
async def test_the_task_of_another_owner_is_a_404(client: httpx2.AsyncClient, method: str, rest: str) -> None:
    queued = await client.post(f"{TASKS}/users.update_stats", headers=bearer("shop"))
    path = queued.headers["Location"] + rest
    assert (await client.request(method, path, headers=bearer("farm"))).status_code == 404
    assert (await client.request(method, path, headers=bearer("shop"))).status_code != 404
    assert (await client.request(method, path, headers=bearer("admin"))).status_code != 404


async def test_an_owner_lists_its_own_tasks_and_admin_those_of_all(client: httpx2.AsyncClient) -> None:
    for owner in KEYS:
        await client.post(f"{TASKS}/users.update_stats", headers=bearer(owner))
    seen = {owner: (await client.get(TASKS, headers=bearer(owner))).json()["tasks"] for owner in KEYS}
    assert {owner: len(tasks) for owner, tasks in seen.items()} == {"shop": 1, "farm": 1, "admin": 3}
    assert seen["shop"] != seen["farm"]


async def test_an_owner_may_have_two_keys_while_they_are_rotated(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = [sha256(key.encode()).hexdigest() for key in ("old", "new")]
    monkeypatch.setenv("TASK_API_KEYS", ",".join(f"shop:{hashed}" for hashed in hashes))
    get_task_api_settings.cache_clear()
    try:
        for key in ("old", "new"):
            answer = await client.get(TASKS, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200
    finally:
        get_task_api_settings.cache_clear()


@pytest.mark.parametrize("keys", ["shop", "shop:secret", "Shop:" + "0" * 64, "shop:" + "0" * 63, "a b:" + "0" * 64])
def test_keys_that_are_no_hashes_are_refused_without_telling_them(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("TASK_API_KEYS", keys)
    get_task_api_settings.cache_clear()
    with pytest.raises(SettingsError) as refused:
        get_task_api_settings()
    assert "TASK_API_KEYS" in str(refused.value)
    assert "make api-key" in str(refused.value)
    assert keys not in str(refused.value)
