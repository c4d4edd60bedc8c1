"""Background work: the Celery app, `with_db_init` for tasks that use the database, and the schedule."""

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

from celery import Celery
from celery.schedules import crontab
from sqlalchemy.ext.asyncio import AsyncSession

import app.core.redis_transport  # takes the place of kombu's own
import app.core.task_cancellation
import app.core.worker_heartbeat
import app.core.worker_shutdown  # noqa: F401 (they connect their signals)
from app.core.brokers import priority, queues, transport_options
from app.core.config.base import check_settings
from app.core.config.celery import get_celery_settings
from app.core.database import is_away, open_session
from app.core.sentinel import options_for_celery
from app.core.task_base import BaseTask, carry_request, retry_outage
from app.core.worker_loop import run_apart, worker_loop

R = TypeVar("R")

check_settings()
settings = get_celery_settings()

beat_schedule: dict[str, dict[str, Any]] = {
    "heartbeat": {"task": "system.heartbeat", "schedule": 30.0},
    "relay of the outbox": {"task": "outbox.relay", "schedule": 10.0},
    "clean up unused accounts": {
        "task": "users.cleanup",
        "schedule": crontab(hour="3", minute="30"),
        "kwargs": {"unused_for_days": 90},
    },
}

celery_app: Celery[Any] = Celery("service", task_cls=BaseTask, include=["app.tasks"])
celery_app.conf.update(
    broker_url=settings.broker_url,
    result_backend=settings.result_backend,
    timezone=settings.timezone,
    # JSON only: a pickle from a broker that others can reach runs their code
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    # a message leaves the broker when its task has ended, so a worker that dies hands it back
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_soft_time_limit=settings.task_soft_time_limit,
    task_time_limit=settings.task_time_limit,
    # what others may see of a task
    result_expires=settings.result_expires,
    result_extended=True,
    task_track_started=True,
    task_store_errors_even_if_ignored=True,
    # queues, and in each an urgency from 0 to 9
    task_queues=queues(settings),
    task_default_queue="default",
    task_create_missing_queues=False,
    task_routes={
        "system.*": {"queue": "high_priority", "priority": priority(settings, 9)},
        "outbox.*": {"queue": "high_priority", "priority": priority(settings, 9)},
        "reports.*": {"queue": "low_priority", "priority": priority(settings, 3)},
        "users.cleanup": {"queue": "low_priority", "priority": priority(settings, 0)},
        # `task_default_priority` would win over all of the above
        "*": {"queue": "default", "priority": priority(settings, 6)},
    },
    broker_transport_options=transport_options(settings),
    # a worker waits for its broker, also with what a task of its own queues
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    task_publish_retry_policy={"max_retries": 300, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
    result_backend_transport_options=options_for_celery(settings),
    redis_socket_connect_timeout=5,
    redis_socket_timeout=10,
    redis_socket_keepalive=True,
    worker_consumer="app.core.worker_consumer:Consumer",
    worker_concurrency=settings.worker_concurrency,
    worker_max_tasks_per_child=settings.worker_max_tasks_per_child,
    beat_schedule=beat_schedule,
    beat_scheduler="app.core.beat:Scheduler",
)
celery_app.loader.override_backends = {
    "redis": "app.core.result_backend:ResultBackend",
    "rediss": "app.core.result_backend:ResultBackend",
    "sentinel": "app.core.result_backend:SentinelResultBackend",
}


@overload
def with_db_init(function: Callable[..., Coroutine[Any, Any, R]]) -> Callable[..., R]: ...
@overload
def with_db_init(function: Callable[..., R]) -> Callable[..., R]: ...
def with_db_init(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that uses the database into the body of a Celery task.

    An `async def` runs on its worker process's one event loop, with that process's pooled engine. A parameter annotated
    `AsyncSession` is given a session, rolled back unless the task commits (`async with session.begin():`) and closed at
    the end. A soft time limit reaches the coroutine as `asyncio.CancelledError` at the point where it awaits.

    A plain `def` runs as it is. `async for db in get_db():` inside its `asyncio.run(...)` takes a connection of its
    own, closed before `asyncio.run` returns; where an event loop runs already (a test, eager mode), the function gets
    a thread of its own so that `asyncio.run` is allowed.

    When the database is away, the task is tried again, in pauses that grow to a minute.
    """
    signature = inspect.signature(function, eval_str=True)
    sessions = [name for name, parameter in signature.parameters.items() if parameter.annotation is AsyncSession]
    if sessions and not inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__qualname__}: only an `async def` task can ask for a session; see get_db()")

    async def call_with_session(*args: Any, **kwargs: Any) -> Any:
        if not sessions:
            return await function(*args, **kwargs)
        async with open_session() as session:
            return await function(*args, **kwargs, **dict.fromkeys(sessions, session))

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with carry_request(), retry_outage(is_away):
            if inspect.iscoroutinefunction(function):
                return worker_loop.run(call_with_session(*args, **kwargs))
            return run_apart(function, *args, **kwargs)

    asked_of_caller = [parameter for name, parameter in signature.parameters.items() if name not in sessions]
    run.__signature__ = signature.replace(parameters=asked_of_caller)  # type: ignore[attr-defined]  # read by inspect
    return run
