"""Users over HTTP."""

from typing import Any

import httpx2
import pytest

USERS = "/api/v1/users"


async def create(client: httpx2.AsyncClient, email: str, name: str = "Ada") -> dict[str, Any]:
    answer = await client.post(USERS, json={"email": email, "name": name})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_a_created_user_can_be_read_at_its_location(client: httpx2.AsyncClient) -> None:
    created = await client.post(USERS, json={"email": "Ada@Example.org", "name": " Ada Lovelace "})
    read = await client.get(created.headers["Location"])
    assert created.status_code == 201
    assert read.json() == created.json()
    assert created.json()["email"] == "ada@example.org"
    assert created.json()["name"] == "Ada Lovelace"
    assert created.json()["last_activity"] is None


async def test_pages_follow_each_other_and_hold_everyone_once(client: httpx2.AsyncClient) -> None:
    created = [(await create(client, f"user{number}@example.org"))["id"] for number in range(5)]
    found, after, pages = [], 0, 0
    while after is not None:
        page = (await client.get(USERS, params={"after": after, "limit": 2})).json()
        found += [user["id"] for user in page["items"]]
        after, pages = page["next_after"], pages + 1
    assert found == created
    assert pages == 3


async def test_a_page_that_holds_the_last_user_names_no_next_page(client: httpx2.AsyncClient) -> None:
    await create(client, "ada@example.org")
    await create(client, "grace@example.org")
    page = (await client.get(USERS, params={"limit": 2})).json()
    assert len(page["items"]) == 2
    assert page["next_after"] is None


async def test_an_update_changes_what_is_given_and_keeps_the_rest(client: httpx2.AsyncClient) -> None:
    user = await create(client, "ada@example.org")
    seen = {"last_activity": "2026-01-02T03:04:05Z"}
    changed = await client.patch(f"{USERS}/{user['id']}", json=seen)
    assert changed.status_code == 200
    assert changed.json() == user | seen
    assert (await client.get(f"{USERS}/{user['id']}")).json() == changed.json()


async def test_a_moment_in_another_time_zone_is_kept_in_utc(client: httpx2.AsyncClient) -> None:
    user = await create(client, "ada@example.org")
    changed = await client.patch(f"{USERS}/{user['id']}", json={"last_activity": "2026-01-02T03:04:05+02:00"})
    assert changed.json()["last_activity"] == "2026-01-02T01:04:05Z"
    assert (await client.get(f"{USERS}/{user['id']}")).json() == changed.json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": None}, "body.email"),
        ({"name": None}, "body.name"),
        ({"name": ""}, "body.name"),
        ({"email": "nobody"}, "body.email"),
        ({"shoe_size": 38}, "body.shoe_size"),
        ({"last_activity": "2026-01-02T03:04:05"}, "body.last_activity"),
    ],
)
async def test_an_update_refuses_what_does_not_fit(
    client: httpx2.AsyncClient, body: dict[str, Any], field: str
) -> None:
    user = await create(client, "ada@example.org")
    answer = await client.patch(f"{USERS}/{user['id']}", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await client.get(f"{USERS}/{user['id']}")).json() == user


async def test_a_deleted_user_is_gone(client: httpx2.AsyncClient) -> None:
    user = await create(client, "ada@example.org")
    assert (await client.delete(f"{USERS}/{user['id']}")).status_code == 204
    assert (await client.get(f"{USERS}/{user['id']}")).status_code == 404
    assert (await client.delete(f"{USERS}/{user['id']}")).status_code == 404


async def test_an_email_is_taken_in_any_case(client: httpx2.AsyncClient) -> None:
    await create(client, "ada@example.org")
    other = await create(client, "grace@example.org")
    again = await client.post(USERS, json={"email": "ADA@example.org", "name": "Ada"})
    changed = await client.patch(f"{USERS}/{other['id']}", json={"email": "Ada@Example.org"})
    for answer in (again, changed):
        assert answer.status_code == 409
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "ada@example.org" in answer.json()["detail"]
    assert (await client.get(f"{USERS}/{other['id']}")).json() == other


async def test_a_user_may_be_given_the_email_that_it_has(client: httpx2.AsyncClient) -> None:
    user = await create(client, "ada@example.org")
    answer = await client.patch(f"{USERS}/{user['id']}", json={"email": "ADA@example.org"})
    assert answer.status_code == 200
    assert answer.json() == user


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_a_user_that_is_not_there_is_a_404(client: httpx2.AsyncClient, method: str) -> None:
    answer = await client.request(method, f"{USERS}/7", json={} if method == "PATCH" else None)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "There is no user 7."


@pytest.mark.parametrize("user_id", ["0", "-1", "ada", "99999999999999999999"])
async def test_what_is_no_id_is_refused(client: httpx2.AsyncClient, user_id: str) -> None:
    answer = await client.get(f"{USERS}/{user_id}")
    assert answer.status_code in (404, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "ada@example.org"}, "body.name"),
        ({"email": "ada@example.org", "name": "  "}, "body.name"),
        ({"email": "ada@example.org", "name": "A\x00da"}, "body.name"),
        ({"email": "ada@example.org", "name": "x" * 201}, "body.name"),
        ({"email": "ada", "name": "Ada"}, "body.email"),
        ({"email": "ada@example.org", "name": "Ada", "admin": True}, "body.admin"),
        ([], "body"),
    ],
)
async def test_a_new_user_that_does_not_fit_is_refused(client: httpx2.AsyncClient, body: object, field: str) -> None:
    answer = await client.post(USERS, json=body)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await client.get(USERS)).json()["items"] == []


@pytest.mark.parametrize(("parameter", "value"), [("limit", "0"), ("limit", "201"), ("after", "-1"), ("limit", "many")])
async def test_a_page_that_cannot_be_is_refused(client: httpx2.AsyncClient, parameter: str, value: str) -> None:
    answer = await client.get(USERS, params={parameter: value})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == f"query.{parameter}"
