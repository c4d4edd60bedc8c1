"""Pictures in several sizes, each made by a task of its own."""

from typing import Any
from uuid import UUID

from celery import chord

from app.core.celery import celery_app
from app.core.task_base import BaseTask
from app.core.workflow_progress import begin_workflow, finish_part
from app.services import images
from app.services.images import PIXELS, ImageRefusedError, Size


@celery_app.task(name="images.resize", bind=True, soft_time_limit=30, time_limit=60)
def resize(self: BaseTask[..., Any], *, image_id: UUID) -> dict[Size, str]:
    """Check an image and make it in each size; returns where these are to be had."""
    try:
        images.check(image_id)
    except ImageRefusedError:
        images.remove(image_id)
        raise
    begin_workflow(self, len(PIXELS) + 1)
    sizes = [make_size.si(image_id=str(image_id), size=size) for size in PIXELS]
    raise self.replace(chord(sizes, finish.si(image_id=str(image_id))))


@celery_app.task(name="images.make_size", bind=True, soft_time_limit=30, time_limit=60)
def make_size(self: BaseTask[..., Any], *, image_id: UUID, size: Size) -> None:
    """Make one size of an image that was checked."""
    images.make(image_id, size)
    finish_part(self, size)


@celery_app.task(name="images.finish", bind=True)
def finish(self: BaseTask[..., Any], *, image_id: UUID) -> dict[Size, str]:
    """Tell where the sizes are, now that all are made."""
    links = images.links(image_id)
    finish_part(self, "all sizes are there")
    return links
