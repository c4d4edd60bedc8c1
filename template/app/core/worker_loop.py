"""The event loop of a worker process: one, on a thread of its own, with the process's pooled engine.

Celery forks its workers and runs tasks in their main thread, where signals (a soft time limit, SIGTERM) raise at any
instruction. On a thread of its own the loop is never cut in half: the main thread only waits for an answer, and what a
signal raises there becomes a cancellation at the point where the coroutine awaits.
"""

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import structlog
import uvloop
from celery.signals import worker_process_shutdown, worker_shutdown

from app.core.resources import open_resources

R = TypeVar("R")
logger = structlog.stdlib.get_logger(__name__)

CLEAN_UP_SECONDS = 5.0
"""How long a cancelled coroutine has for its own clean-up."""


class WorkerLoop:
    """Started by the first coroutine that is given to it, so after the fork; forgotten by a process that forks off."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._resources = AsyncExitStack()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run it on the loop and wait for it.

        An exception that a signal raises here meanwhile goes on only after the coroutine has been cancelled and has
        cleaned up, or CLEAN_UP_SECONDS have passed. RuntimeError when called from the loop itself.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("this is the worker's event loop already: await the service instead of calling a task")
        ended = threading.Event()

        async def run_to_end() -> R:
            try:
                return await coroutine
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(run_to_end(), self._started())
        try:
            return future.result()
        except BaseException:
            if not future.done():
                self._cancel(future, ended)
            raise

    def _cancel(self, future: Future[R], ended: threading.Event) -> None:
        future.cancel()
        if not ended.wait(CLEAN_UP_SECONDS):
            logger.warning("a cancelled task did not end its clean-up in time", seconds=CLEAN_UP_SECONDS)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop, resources = uvloop.new_event_loop(), AsyncExitStack()
                thread = threading.Thread(target=loop.run_forever, name="worker-loop", daemon=True)
                thread.start()
                opening = resources.enter_async_context(open_resources())
                asyncio.run_coroutine_threadsafe(opening, loop).result()
                self._loop, self._thread, self._resources = loop, thread, resources  # all at once: a signal may raise
            return self._loop

    def close(self) -> None:
        """Cancel what still runs, close connections, end the thread. The next `run` starts anew."""
        with self._lock:
            loop, thread, resources = self._loop, self._thread, self._resources
            self._loop, self._thread, self._resources = None, None, AsyncExitStack()
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(_wind_down(resources), loop).result(2 * CLEAN_UP_SECONDS)
        except TimeoutError:
            logger.warning("connections did not close in time", seconds=2 * CLEAN_UP_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLEAN_UP_SECONDS)
        if not thread.is_alive():
            loop.close()


async def _wind_down(resources: AsyncExitStack) -> None:
    if running := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CLEAN_UP_SECONDS)
    await resources.aclose()
    await asyncio.get_running_loop().shutdown_asyncgens()


worker_loop = WorkerLoop()


@worker_process_shutdown.connect  # a child of the prefork pool
@worker_shutdown.connect  # the threads and solo pools, which have no children
def _close_worker_loop(**_: object) -> None:
    worker_loop.close()


def run_apart(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Call it where `asyncio.run` is allowed: here, or on a thread of its own where an event loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function(*args, **kwargs)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(context.run, function, *args, **kwargs).result()
