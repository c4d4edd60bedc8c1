"""Lets go of those who wait for tasks, who would hold the server up when it is told to stop."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from types import FrameType
from typing import Any

from fastapi import FastAPI
from starlette.types import Scope

from app.core.task_queue import task_queue


@asynccontextmanager
async def heed_signals(app: FastAPI) -> AsyncIterator[None]:
    """The lifespan of a router. The server's own handlers are called too; where it has none, nothing is done."""
    loop = asyncio.get_running_loop()
    with ExitStack() as restoring:
        if threading.current_thread() is threading.main_thread():
            app.state.server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
            for number in (signal.SIGINT, signal.SIGTERM):
                _heed(number, loop, restoring)
        yield


def _heed(number: signal.Signals, loop: asyncio.AbstractEventLoop, restoring: ExitStack) -> None:
    before = signal.getsignal(number)
    if not callable(before):
        return

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(_let_go)
        before(number, frame)

    signal.signal(number, handle)
    restoring.callback(signal.signal, number, before)


def _let_go() -> None:
    task_queue.get().end_watching()


def cut_connection(scope: Scope) -> None:
    """At once, and with what the client has not taken; uvicorn would wait for it to be taken, and so never stop."""
    server: Any = getattr(scope["app"].state, "server", None)
    if server is None or not hasattr(server, "server_state"):
        return
    for connection in server.server_state.connections:
        cycle = getattr(connection, "cycle", None)
        if cycle is not None and cycle.scope["headers"] is scope["headers"]:  # of the scope there may be a copy
            connection.transport.abort()
