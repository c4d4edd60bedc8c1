"""What a process holds open while it works: engines and clients, one per event loop, each with a check."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class UnavailableError(Exception):
    """Something that this process depends on does not answer now; the message says what, for a caller to read."""


class Resource(Generic[T]):
    """A thing that belongs to the event loop that opened it.

    Connections of asyncio drivers cannot be used on another loop than their own
    (https://docs.sqlalchemy.org/en/21/orm/extensions/asyncio.html#using-multiple-asyncio-event-loops).
    """

    def __init__(
        self,
        name: str,
        opener: Callable[[], AbstractAsyncContextManager[T]],
        check: Callable[[T], Awaitable[object]],
    ) -> None:
        self.name = name
        self._opener = opener
        self._check = check
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        RESOURCES.append(self)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[T]:
        loop = asyncio.get_running_loop()
        async with self._opener() as opened:
            self._by_loop[loop] = opened
            try:
                yield opened
            finally:
                del self._by_loop[loop]

    def is_open(self) -> bool:
        return asyncio.get_running_loop() in self._by_loop

    def get(self) -> T:
        """The running loop's own, or RuntimeError where nothing opened it."""
        try:
            return self._by_loop[asyncio.get_running_loop()]
        except KeyError:
            raise RuntimeError(
                f"{self.name} is not open on this event loop; wrap the code in `async with open_resources():`"
            ) from None

    def opened_anywhere(self) -> list[T]:
        return list(self._by_loop.values())

    async def check(self) -> None:
        """Return if it answers, raise otherwise."""
        await self._check(self.get())


RESOURCES: list[Resource[Any]] = []
"""Every resource whose module has been imported."""


@asynccontextmanager
async def open_resources() -> AsyncIterator[None]:
    """Open them all for the running event loop. Nothing connects before its first use."""
    async with AsyncExitStack() as stack:
        for resource in RESOURCES:
            await stack.enter_async_context(resource.open())
        yield
