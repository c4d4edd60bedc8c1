"""Links that were sent by e-mail, over HTTP."""

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.users import User
from app.services import email_tokens

TOKENS = "/api/v1/email-tokens"


@pytest.fixture
async def token(session: AsyncSession) -> str:
    async with session.begin():
        session.add(User(id=7, email="ada@example.org", name="Ada"))
        await session.flush()
        return email_tokens.issue(session, 7, "verification")


async def test_a_token_is_redeemed_once(client: httpx2.AsyncClient, token: str) -> None:
    first = await client.post(TOKENS, json={"token": token})
    again = await client.post(TOKENS, json={"token": token})
    assert first.status_code == 200
    assert first.json() == {"user_id": 7, "purpose": "verification"}
    assert again.status_code == 404


async def test_used_and_unknown_tokens_get_the_same_answer(client: httpx2.AsyncClient, token: str) -> None:
    await client.post(TOKENS, json={"token": token})
    used, unknown = [await client.post(TOKENS, json={"token": one}) for one in (token, "x")]
    assert used.headers["Content-Type"] == "application/problem+json"
    assert used.json() == unknown.json()


@pytest.mark.parametrize("body", [{}, {"token": 7}, {"token": "x" * 201}, {"token": "x", "user_id": 7}, []])
async def test_what_is_no_token_is_refused(client: httpx2.AsyncClient, body: object) -> None:
    assert (await client.post(TOKENS, json=body)).status_code == 422


async def test_the_page_that_a_link_leads_to_redeems_nothing_by_itself(client: httpx2.AsyncClient, token: str) -> None:
    page = await client.get("/email-tokens")
    script = await client.get("/email-tokens/redeem.js")
    assert page.headers["Content-Type"].startswith("text/html")
    assert 'src="email-tokens/redeem.js"' in page.text
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert (await client.post(TOKENS, json={"token": token})).status_code == 200


async def test_a_file_that_the_page_does_not_have_is_a_404(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/email-tokens/settings.py")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
