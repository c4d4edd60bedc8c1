"""How far a whole workflow is, told by its parts and seen on the one task that was queued.

A task that puts a workflow in its own place (`raise self.replace(...)`) hands its id on to the last part; the id of the
task that began it all is the `root_id` of every part. Who cancels that id cancels the parts that are to come, too.
Where Redis does not answer, parts go uncounted: no work fails for it.
"""

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from redis.exceptions import RedisError

from app.core.config.celery import get_celery_settings
from app.core.task_base import BaseTask
from app.core.worker_redis import results_client


def begin_workflow(task: BaseTask[..., Any], parts: int, message: str = "") -> None:
    """Of so many parts, each of which calls `finish_part` when it has done its work."""
    if not task.request.root_id or task.request.root_id != task.request.id:  # called as a function, or itself a part
        return
    with suppress(RedisError), results_client().pipeline() as pipeline:
        pipeline.set(_whole_key(task), parts, ex=get_celery_settings().result_expires)
        pipeline.delete(_parts_key(task))  # where it begins a second time, because its worker was lost
        pipeline.execute()
    task.report_progress(0, parts, message)


def finish_part(task: BaseTask[..., Any], message: str = "") -> None:
    """Counts each part once, also one that runs a second time because its worker was lost."""
    if task.request.root_id:  # else it was called as a function
        with suppress(RedisError):
            _count(task, message)


def _count(task: BaseTask[..., Any], message: str) -> None:
    results: Any = results_client()
    with results.pipeline() as pipeline:
        pipeline.get(_whole_key(task))
        pipeline.sadd(_parts_key(task), task.request.id)
        pipeline.expire(_parts_key(task), get_celery_settings().result_expires)
        pipeline.scard(_parts_key(task))
        whole, _, _, done = pipeline.execute()
    if not whole:  # the part was queued on its own
        return
    if task.request.id == task.request.root_id:
        task.report_progress(min(done, int(whole)), int(whole), message)
        return
    told = None
    while told != done:  # of two that end together, the later one may have told of both while this one was on its way
        _tell(task, min(done, int(whole)), int(whole), message)
        told, done = done, results.scard(_parts_key(task))


def _tell(part: BaseTask[..., Any], done: int, parts: int, message: str) -> None:
    report = {"current": done, "total": parts, "message": message}
    reported = SimpleNamespace(progress_reports=SimpleNamespace(newest=report))  # all that is read of a request
    part.backend.store_result(part.request.root_id, report, "PROGRESS", request=reported)


def _whole_key(task: BaseTask[..., Any]) -> str:
    """The number of its parts."""
    return f"workflow:{task.request.root_id}"


def _parts_key(task: BaseTask[..., Any]) -> str:
    """A set: ids of the parts that have done their work."""
    return f"{_whole_key(task)}:done"
