"""Pictures in several sizes, each made by a task of its own."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from PIL import Image

from app.core import stored_files
from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.services import images as services
from app.services.errors import NotFoundError
from app.services.images import PIXELS, ImageRefusedError
from app.tasks import images


class Replaced(Exception):  # noqa: N818 (no error)
    """A task has put this workflow in its own place."""


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where images are kept; there are none."""
    monkeypatch.setattr(BaseTask, "replace", lambda _self, workflow: Replaced(workflow))
    yield stored_files.folder("images")
    stored_files.remove(stored_files.folder("images"))


def keep(content: bytes) -> UUID:
    image_id = uuid4()
    (stored_files.folder("images", str(image_id)) / "original").write_bytes(content)
    return image_id


def picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (400, 200), "red").save(file, "JPEG")
    return file.getvalue()


def workflow_of(image_id: UUID) -> Any:
    with pytest.raises(Replaced) as replaced:
        images.resize(image_id=str(image_id))
    return replaced.value.args[0]


def test_each_size_is_made_by_a_part_and_the_body_tells_where_they_are() -> None:
    image_id = keep(picture())
    workflow = workflow_of(image_id)
    for part in workflow.tasks:
        part.type(**part.kwargs)
    links = workflow.body.type(**workflow.body.kwargs)
    assert links == {size: f"/api/v1/images/{image_id}/{size}" for size in PIXELS}
    assert all(services.find(image_id, size).stat().st_size for size in PIXELS)


def test_what_is_no_image_is_refused_and_removed(place: Path) -> None:
    image_id = keep(b"I am an image")
    with pytest.raises(ImageRefusedError, match="no JPEG, PNG, WebP or GIF"):
        images.resize(image_id=str(image_id))
    assert not (place / str(image_id)).exists()
    with pytest.raises(NotFoundError):  # its worker was lost right after that
        images.resize(image_id=str(image_id))


def test_what_takes_too_long_is_refused_and_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def take_long(_image: Image.Image, _pixels: int) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(services, "_upright", take_long)
    image_id = keep(picture())
    with pytest.raises(ImageRefusedError, match="SoftTimeLimitExceeded"):
        images.resize(image_id=str(image_id))
    assert not (place / str(image_id)).exists()


def test_started_again_after_a_crash_in_the_middle_every_size_is_there() -> None:
    image_id = keep(picture())
    first, *_ = workflow_of(image_id).tasks
    first.type(**first.kwargs)
    workflow = workflow_of(image_id)
    for part in workflow.tasks:
        part.type(**part.kwargs)
    assert set(workflow.body.type(**workflow.body.kwargs)) == set(PIXELS)


@pytest.mark.parametrize("vanished", ["original", "small.webp"])
def test_a_file_that_vanishes_in_the_middle_fails_the_task_that_needs_it(place: Path, vanished: str) -> None:
    image_id = keep(picture())
    workflow = workflow_of(image_id)
    if vanished == "original":
        (place / str(image_id) / vanished).unlink()
        with pytest.raises(NotFoundError, match=str(image_id)):
            workflow.tasks[0].type(**workflow.tasks[0].kwargs)
    else:
        for part in workflow.tasks:
            part.type(**part.kwargs)
        (place / str(image_id) / vanished).unlink()
        with pytest.raises(NotFoundError, match="There is no small"):
            workflow.body.type(**workflow.body.kwargs)


@pytest.mark.parametrize("image_id", ["../../etc/passwd", "", "7", None, "*"])
def test_an_id_that_is_none_is_refused(image_id: object) -> None:
    with pytest.raises(ArgumentsError, match="image_id"):
        images.resize(image_id=image_id)


@pytest.mark.parametrize("size", ["../original", "original", "huge"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(ArgumentsError, match="size"):
        images.make_size(image_id=str(uuid4()), size=size)
