"""Celery's Redis result backend, which also keeps when a task started and how far it came."""

from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend
from redis import Redis


def results_client(app: Celery[Any]) -> Redis:
    """Celery's own (blocking) client for the results database, for use in workers and beat."""
    client: Redis = app.backend.client  # type: ignore[attr-defined]  # every backend of ours is a ResultBackend
    return client


class ResultBackend(RedisBackend):
    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing while queueing: the API would hold a channel for each task that it ever queued.

        `AsyncResult.get` subscribes by itself.
        """

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_result_meta(  # type: ignore[misc]  # not in celery-types
            result, state, traceback, request, **options
        )
        started_at = getattr(request, "started_at", None)
        meta["started_at"] = started_at and started_at.isoformat()
        meta["progress"] = getattr(request, "progress", None)
        return meta
