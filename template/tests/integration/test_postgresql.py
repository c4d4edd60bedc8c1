"""What only a real PostgreSQL shows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone

import httpx2
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncSession

import app.core.database
from app.core.config.database import DatabaseSettings, get_database_settings
from app.main import app as service
from app.models.users import User

pytestmark = pytest.mark.usefixtures("postgresql")

USERS = "/api/v1/users"


async def test_of_many_who_take_an_email_at_once_one_gets_it(client: httpx2.AsyncClient) -> None:
    bodies = [{"email": email, "name": "Ada"} for email in ("ada@example.org", "ADA@example.org") * 4]
    answers = await asyncio.gather(*(client.post(USERS, json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    assert len((await client.get(USERS)).json()["items"]) == 1


async def test_a_moment_is_kept_with_its_time_zone(session: AsyncSession) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=-5)))
    async with session.begin():
        session.add(User(email="ada@example.org", name="Ada", last_activity=moment))
    async with session.begin():
        await session.execute(text("SET LOCAL TIME ZONE 'Asia/Tokyo'"))
        raw = await session.scalar(text("SELECT last_activity::text FROM users"))
        assert raw == "2026-01-02 17:04:05.000678+09"
        session.expire_all()
        user = await session.get_one(User, await session.scalar(text("SELECT id FROM users")))
        assert user.last_activity == moment.astimezone(UTC)


class Road:
    """A port of its own that leads to the database, and can be closed."""

    def __init__(self) -> None:
        self._address = make_url(get_database_settings().url)
        self._ends: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._lead, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for end in self._ends:
            end.close()
        await asyncio.gather(*(end.wait_closed() for end in self._ends), return_exceptions=True)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection(self._address.host, self._address.port or 5432)
        self._ends |= {writer, questions}
        await asyncio.gather(self._carry(reader, questions), self._carry(answers, writer))

    @staticmethod
    async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
async def road(database: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Road]:
    """The one that the service takes; open."""
    road = Road()
    await road.open()
    url = make_url(get_database_settings().url).set(host="127.0.0.1", port=road.port)
    settings = DatabaseSettings(url=url.render_as_string(hide_password=False))
    monkeypatch.setattr(app.core.database, "get_database_settings", lambda: settings)
    yield road
    await road.close()


async def test_the_service_is_back_by_itself_when_the_database_is(road: Road) -> None:
    async with (
        service.router.lifespan_context(service),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(service), base_url="http://test") as client,
    ):
        assert (await client.get("/health/ready")).status_code == 200
        await road.close()
        away = await client.get("/health/ready")
        assert (away.status_code, away.json()["status"]) == (503, "not ready")
        assert away.json()["parts"]["database"] != "ok"
        refused = await client.get(USERS)
        assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
        assert (await client.get("/health/live")).status_code == 200
        await road.open()
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get(USERS)).status_code == 200
