"""Lets go of those who wait for tasks as soon as the server is told to stop; it would wait for them in turn."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from types import FrameType
from typing import Any

from fastapi import FastAPI

from app.core.task_queue import task_queue


@asynccontextmanager
async def heed_signals(_app: FastAPI) -> AsyncIterator[None]:
    """The lifespan of a router. The server's own handlers are called too; where it has none, nothing is done."""
    loop = asyncio.get_running_loop()
    with ExitStack() as restoring:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                _call_first(lambda: loop.call_soon_threadsafe(_let_go), number, restoring)
        yield


def _let_go() -> None:
    task_queue.get().end_watching()


def _call_first(call: Any, number: signal.Signals, restoring: ExitStack) -> None:
    before = signal.getsignal(number)
    if not callable(before):
        return

    def handle(number: int, frame: FrameType | None) -> None:
        call()
        before(number, frame)

    signal.signal(number, handle)
    restoring.callback(signal.signal, number, before)
