"""How far a whole workflow is, told by its parts and seen on the one task that was queued.

A task that puts a workflow in its own place (`raise self.replace(...)`) hands its id on to the last part; the id of the
task that began it all is the `root_id` of every part.
"""

from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from app.core.config.celery import get_celery_settings
from app.core.task_base import BaseTask
from app.core.worker_redis import results_client


def begin_workflow(task: BaseTask[..., Any], parts: int, message: str = "") -> None:
    """Of so many parts, each of which calls `finish_part` when it has done its work."""
    if not task.request.root_id:  # it was called as a function
        return
    whole: Mapping[Any, Any] = {"name": task.name, "parts": parts, "started_at": task.request.started_at.isoformat()}
    with results_client().pipeline() as pipeline:
        pipeline.hset(_whole_key(task), mapping=whole)
        pipeline.expire(_whole_key(task), get_celery_settings().result_expires)
        pipeline.execute()
    task.report_progress(0, parts, message)


def finish_part(task: BaseTask[..., Any], message: str = "") -> None:
    """Counts each part once, also one that runs a second time because its worker was lost."""
    if not task.request.root_id:
        return
    with results_client().pipeline() as pipeline:
        pipeline.hgetall(_whole_key(task))
        pipeline.sadd(_parts_key(task), task.request.id)
        pipeline.expire(_parts_key(task), get_celery_settings().result_expires)
        pipeline.scard(_parts_key(task))
        whole, _, _, done = pipeline.execute()
    if whole:  # else a part was queued on its own
        report = {"current": done, "total": int(whole["parts"]), "message": message}
        seen_as = SimpleNamespace(  # what the result backend reads of a request
            task=whole["name"],
            started_at=datetime.fromisoformat(whole["started_at"]),
            progress_reports=SimpleNamespace(newest=report),
        )
        task.backend.store_result(task.request.root_id, report, "PROGRESS", request=seen_as)


def _whole_key(task: BaseTask[..., Any]) -> str:
    return f"workflow:{task.request.root_id}"


def _parts_key(task: BaseTask[..., Any]) -> str:
    """A set: ids of the parts that have done their work."""
    return f"{_whole_key(task)}:done"
