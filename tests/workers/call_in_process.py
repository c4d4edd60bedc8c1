"""Calls tasks as a test of a service would: from a running event loop. Run in the service's folder."""

import asyncio

from app.core.celery import celery_app
from app.tasks import proof  # type: ignore[attr-defined]  # put there by the tests


async def main() -> None:
    proof.use_session(key="called async")
    proof.use_get_db(key="called asyncio.run")
    proof.leave_get_db_early(key="called asyncio.run, left early")
    proof.without_a_loop(key="called plain")
    await asyncio.gather(*(asyncio.to_thread(proof.use_session, key=f"called on thread {n}") for n in range(8)))
    celery_app.conf.task_always_eager = True
    for task in (proof.use_session, proof.use_get_db, proof.leave_get_db_early):
        assert task.delay(key=f"eager {task.name}").successful()


asyncio.run(main())
