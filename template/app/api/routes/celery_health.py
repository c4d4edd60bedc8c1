"""For those who watch the background work: are there workers, and how much waits for them."""

from fastapi import APIRouter, Response, status

from app.core.task_queue import task_queue
from app.schemas.tasks import CeleryHealth

router = APIRouter(prefix="/health/celery", tags=["health"])


@router.get("", responses={503: {"model": CeleryHealth, "description": "No workers"}})
async def read_celery_health(response: Response) -> CeleryHealth:
    """Workers that have been heard of in the last seconds, and the depth of each queue. Asks no worker."""
    workers = await task_queue.get().workers()
    depth = await task_queue.get().depth()
    if not workers:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return CeleryHealth(
        status="ok" if workers else "no workers",
        workers=workers,
        waiting=depth.waiting,
        by_priority=depth.by_priority,
        unacknowledged=depth.unacknowledged,
    )
