"""What every task does: check its arguments, log its course, tell its progress, heed its cancellation."""

import contextlib
import contextvars
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, ParamSpec, TypeVar

import structlog
from asgi_correlation_id import correlation_id
from celery import Task, current_task, states
from celery.canvas import Signature
from celery.exceptions import Ignore, Reject
from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun
from celery.utils.time import get_exponential_backoff_interval
from redis.exceptions import RedisError

from app.core.config.celery import get_celery_settings
from app.core.logging import configure_logging
from app.core.task_arguments import TaskArguments
from app.core.task_progress import ProgressReports
from app.core.task_record import are_cancelled, note_replacement, note_start
from app.core.task_turns import take_turn

P = ParamSpec("P")
R = TypeVar("R")
logger = structlog.stdlib.get_logger("app.tasks")

OUTAGE_RETRIES = 30
"""About a quarter of an hour."""
MOST_STARTS = 5
"""How often a task is started whose worker dies each time, before it is given up."""
ABORT_INTERVAL = 0.2
"""Seconds between two looks whether a task was cancelled."""

_carried: contextvars.ContextVar[tuple[str, Any] | None] = contextvars.ContextVar("carried", default=None)


@contextlib.contextmanager
def carry_request() -> Iterator[None]:
    """Let a task find its own `self.request` on another thread; Celery keeps it for the thread that it called."""
    token = _carried.set((current_task.name, current_task.request) if current_task else None)
    try:
        yield
    finally:
        _carried.reset(token)


@contextlib.contextmanager
def retry_outage(is_outage: Callable[[Exception], bool]) -> Iterator[None]:
    """Try the task again later when what it depends on is away, unless it says itself what it does about that error."""
    try:
        yield
    except Exception as error:
        task = current_task
        if not task or isinstance(error, getattr(task, "autoretry_for", ())) or not is_outage(error):
            raise
        logger.warning("what the task needs is away", error=repr(error), cause=repr(error.__cause__))
        pause = get_exponential_backoff_interval(factor=1, retries=task.request.retries, maximum=60, full_jitter=True)
        raise task.retry(exc=error, countdown=pause, max_retries=OUTAGE_RETRIES) from error


class WorkerKillerError(Exception):
    """A task that has cost so many workers their lives is not given another one."""


class BaseTask(Task[P, R]):
    abstract = True
    Request = "app.core.worker_consumer:Request"
    exposed: ClassVar[bool] = False
    """Whether it can be queued over REST: `@celery_app.task(name=..., exposed=True)`."""

    @property
    def request(self) -> Any:
        carried = _carried.get()
        if carried and carried[0] == self.name:
            return carried[1]
        return self._get_request()  # type: ignore[attr-defined]  # not in celery-types

    @property
    def delivery(self) -> str | None:
        """By which its message is held while it runs, see task_delivery.py.

        None where the broker is not Redis, and where Celery acknowledges before the task starts (`acks_late=False`).
        """
        held = self.acks_late and get_celery_settings().broker_is_redis
        properties = self.request.properties if held else None
        return properties and properties.get("delivery_tag")

    @cached_property
    def arguments(self) -> TaskArguments:
        # `autoretry_for` hides the body behind a wrapper that seems to take `self`
        return TaskArguments(self.name, getattr(self, "_orig_run", self.run))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.name.startswith("celery."):
            args, kwargs = (), self.arguments.bind(args, kwargs)
        with self._progress_reports():
            try:
                return super().__call__(*args, **kwargs)
            except Reject as rejected:
                if not getattr(rejected, "requeue", False):  # Celery would drop it, and nobody would know
                    self.backend.mark_as_failure(self.request.id, rejected, request=self.request)
                raise

    @contextlib.contextmanager
    def _progress_reports(self) -> Iterator[None]:
        request = self.request
        if request.id is None:  # it was called as a function
            yield
            return
        request.progress_reports = ProgressReports(
            lambda report: self.backend.store_result(request.id, report, "PROGRESS", request=request)
        )
        with contextlib.closing(request.progress_reports):
            yield

    def is_aborted(self) -> bool:
        """Whether the task was cancelled, or the one that began it all.

        One that runs for long asks now and then, cleans up, and returns.

        It has CELERY_CANCEL_GRACE seconds for that; then its process is terminated. Asking often costs nothing.
        """
        request, now = self.request, time.monotonic()
        if request.id is None or now - getattr(request, "asked_at", -ABORT_INTERVAL) < ABORT_INTERVAL:
            return getattr(request, "was_cancelled", False)
        request.asked_at = now
        with contextlib.suppress(RedisError):
            (request.was_cancelled,) = are_cancelled([request])
        return getattr(request, "was_cancelled", False)

    def report_progress(self, current: float, total: float, message: str = "") -> None:
        """Tell how far a running task is; as often as you like, for it is written down a few times a second."""
        if reports := getattr(self.request, "progress_reports", None):
            reports.add({"current": current, "total": total, "message": message})

    def before_start(self, task_id: str, *_: Any) -> None:
        if self.request.is_eager:
            return
        if self.acks_late:
            take_turn(self.request, task_id)
        start = note_start(task_id, self.request.retries, self.delivery, self.request.root_id)
        if start is None:
            logger.warning("the task seems to be with another worker by now")
            time.sleep(1)  # it may come back at once: from a server that a failover has not reached yet
            raise Reject(requeue=True)
        if start.number > 1:
            self._check_redelivery(task_id, start.number)
        if start.cancelled:
            self.backend.mark_as_revoked(task_id, "cancelled", request=self.request)
            logger.info("task cancelled before its start")
            raise Ignore
        logger.info("task started", retries=self.request.retries, start=start.number)

    def _check_redelivery(self, task_id: str, start: int) -> None:
        """Its worker was lost before it had acknowledged the message; the task itself may have ended all the same."""
        backend: Any = self.backend
        stored = backend.get_task_meta(task_id)
        if stored["status"] in states.READY_STATES:
            if self.request.chord:
                backend.forget_claim(self.request.group)
            if stored["status"] == states.FAILURE:  # nor may those who depend on it have been told; nor its record
                backend.mark_as_failure(task_id, stored["result"], stored["traceback"], self.request)
            elif self.request.chord:
                backend.on_chord_part_return(self.request, stored["status"], stored["result"])
            logger.info("task had ended already", status=stored["status"])
            raise Ignore
        if start > MOST_STARTS:
            raise WorkerKillerError(f"{start - 1} workers were lost while they ran it; mend it, then queue it again")

    def on_replace(self, sig: Signature[Any]) -> Any:
        if self.request.id and not self.request.is_eager:
            note_replacement(self.request.id, self.request)
        return super().on_replace(sig)

    def on_success(self, *_: Any) -> None:
        logger.info("task succeeded", seconds=self._seconds())

    def on_retry(self, exc: Exception | None, *_: Any) -> None:
        retries = self.request.retries
        logger.warning("task will be tried again", error=exc and repr(exc), retries=retries, seconds=self._seconds())

    def on_failure(self, exc: Exception, *_: Any) -> None:
        logger.error("task failed", error=repr(exc), seconds=self._seconds(), exc_info=exc)

    def _seconds(self) -> float:
        started_at = getattr(self.request, "started_at", None)
        return round((datetime.now(UTC) - started_at).total_seconds(), 3) if started_at else 0.0


@task_prerun.connect
def _enter(task: Task[..., Any], task_id: str, **_: object) -> None:
    task.request.started_at = datetime.now(UTC)  # type: ignore[attr-defined]  # kept by ResultBackend
    correlation_id.set(getattr(task.request, "request_id", None))
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)


@task_postrun.connect
def _leave(**_: object) -> None:
    correlation_id.set(None)
    structlog.contextvars.unbind_contextvars("task", "task_id")


@before_task_publish.connect
def _send_request_id(headers: dict[str, Any], **_: object) -> None:
    headers["request_id"] = correlation_id.get()


@setup_logging.connect
def _set_up_logging(**_: object) -> None:
    configure_logging()
    # BaseTask says all of it once, and without arguments and results, which may hold what belongs into no log
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL)
