"""Sends the tasks that it reads from its input, and notes which of the calls that queue them returned.

Run in a design's folder, with its Celery app as the argument: as the service's API queues, or with `apply_async`.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from celery import Task, chord, group
from celery.app.utils import find_app
from celery.result import AsyncResult

from chaos.ledger import ledger

Enqueue = Callable[[Task[..., Any], dict[str, Any]], Awaitable[str]]
THREADS = 16

name = sys.argv[1]
app = find_app(name)
app.loader.import_default_modules()
threads = ThreadPoolExecutor(THREADS, initializer=app.set_current)


async def in_thread(call: Callable[[], AsyncResult[Any]]) -> str:
    result = await asyncio.get_running_loop().run_in_executor(threads, call)
    return result.id


async def apply(task: Task[..., Any], kwargs: dict[str, Any]) -> str:
    return await in_thread(lambda: task.apply_async(kwargs=kwargs))


@asynccontextmanager
async def as_the_api_does() -> AsyncIterator[Enqueue]:
    from app.core.resources import open_resources  # noqa: PLC0415 (only in the service)
    from app.core.task_message import NewTask  # noqa: PLC0415
    from app.core.task_queue import task_queue  # noqa: PLC0415

    async with open_resources():
        yield lambda task, kwargs: task_queue.get().enqueue(NewTask(task, kwargs))


@asynccontextmanager
async def as_celery_does() -> AsyncIterator[Enqueue]:
    yield apply


async def send(sending: dict[str, Any], enqueue: Enqueue) -> dict[str, str]:
    """Returns the ids of all tasks that it queued, by their keys."""
    tasks, key, options = app.tasks, sending["key"], sending["options"]
    match sending["kind"]:
        case "short" | "long":
            return {key: await enqueue(tasks["chaos.work"], {"key": key, **options})}
        case "retry":
            return {key: await enqueue(tasks["chaos.retry"], {"key": key, **options})}
        case "database":
            return {key: await enqueue(tasks["chaos.database"], {"key": key})}
        case "countdown":
            kwargs, countdown = {"key": key, "seconds": options["seconds"]}, options["countdown"]
            return {key: await in_thread(lambda: tasks["chaos.work"].apply_async(kwargs=kwargs, countdown=countdown))}
    members = {
        f"{key}.{number}": tasks["chaos.work"].s(key=f"{key}.{number}", seconds=seconds).set(task_id=str(uuid.uuid4()))
        for number, seconds in enumerate(options["seconds"])
    }
    ids = {key: member.options["task_id"] for key, member in members.items()}
    if sending["kind"] == "group":
        await in_thread(group(list(members.values())).apply_async)
        return ids
    body = tasks["chaos.gather"].s(key=f"{key}.body")
    return {**ids, f"{key}.body": await in_thread(lambda: chord(list(members.values()))(body))}


async def send_and_note(sending: dict[str, Any], enqueue: Enqueue) -> None:
    told = {"kind": sending["kind"], "began": time.monotonic()}
    try:
        ids = await send(sending, enqueue)
    except Exception as error:  # noqa: BLE001 (whatever it is, the caller knows that it failed)
        ledger().note("refused", **told, key=sending["key"], error=repr(error))
        return
    for key, task_id in ids.items():
        ledger().note("sent", **told, key=key, id=task_id, countdown=sending["options"].get("countdown", 0))


async def main() -> None:
    async with as_the_api_does() if name.startswith("app.") else as_celery_does() as enqueue:
        print("ready", flush=True)
        plan = json.load(sys.stdin)
        began = time.monotonic()
        async with asyncio.TaskGroup() as sends:
            for sending in plan:
                await asyncio.sleep(began + sending["at"] - time.monotonic())
                sends.create_task(send_and_note(sending, enqueue))


asyncio.run(main())
