"""What a process holds open while it works."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.core import resources
from app.core.resources import Resource, open_resources


@pytest.fixture
def resource(monkeypatch: pytest.MonkeyPatch) -> Resource[list[str]]:
    """The only one, a list that knows what happened to it."""
    monkeypatch.setattr(resources, "RESOURCES", [])

    @asynccontextmanager
    async def open_list() -> AsyncIterator[list[str]]:
        opened = ["opened"]
        yield opened
        opened.append("closed")

    async def check(opened: list[str]) -> None:
        opened.append("checked")

    return Resource("list", open_list, check)


async def test_it_is_open_inside_and_closed_after(resource: Resource[list[str]]) -> None:
    async with open_resources():
        opened = resource.get()
        await resource.check()
    assert opened == ["opened", "checked", "closed"]
    assert not resource.is_open()


async def test_it_is_closed_after_an_error(resource: Resource[list[str]]) -> None:
    async def fail() -> None:
        async with open_resources():
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await fail()
    assert not resource.is_open()


async def test_what_is_not_open_says_so(resource: Resource[list[str]]) -> None:
    with pytest.raises(RuntimeError, match="list is not open on this event loop"):
        resource.get()


async def test_each_event_loop_has_its_own(resource: Resource[list[str]]) -> None:
    async def open_and_get() -> list[str]:
        async with open_resources():
            return resource.get()

    async with open_resources():
        elsewhere = await asyncio.to_thread(asyncio.run, open_and_get())
        assert resource.get() is not elsewhere
        assert resource.opened_anywhere() == [["opened"]]
