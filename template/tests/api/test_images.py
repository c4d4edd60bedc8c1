"""Images over HTTP: taken in, and given out."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from PIL import Image
from redis import Redis
from starlette.requests import ClientDisconnect, Request

from app.core import stored_files
from app.core.resources import UnavailableError
from app.core.task_message import NewTask
from app.core.task_queue import TaskQueue
from app.services import images

pytestmark = pytest.mark.usefixtures("redis_server")

IMAGES = "/api/v1/images"
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(autouse=True)
def place() -> Iterator[Path]:
    """Where images are kept; there are none."""
    yield stored_files.folder("images")
    stored_files.remove(stored_files.folder("images"))


def kept(place: Path) -> list[str]:
    return [path.name for path in place.iterdir()]


async def test_an_image_is_kept_and_its_task_queued(shop: httpx2.AsyncClient, broker: Redis, place: Path) -> None:
    answer = await shop.post(IMAGES, content=b"an image" * 1000, headers=JPEG)
    assert answer.status_code == 202, answer.text
    task_id = answer.json()["task_id"]
    assert answer.json()["name"] == "images.resize"
    assert answer.headers["Location"] == f"/api/v1/tasks/{task_id}"
    assert (await shop.get(answer.headers["Location"])).json()["status"] == "PENDING"
    assert place.joinpath(task_id, "original").read_bytes() == b"an image" * 1000
    (waiting,) = [message for key in broker.keys("default*") for message in broker.lrange(key, 0, -1)]
    assert json.loads(base64.b64decode(json.loads(waiting)["body"]))[1] == {"image_id": task_id}


async def test_the_task_of_an_image_is_its_senders(shop: httpx2.AsyncClient) -> None:
    location = (await shop.post(IMAGES, content=b"an image", headers=JPEG)).headers["Location"]
    assert (await shop.get(location, headers={"Authorization": "Bearer key of farm"})).status_code == 404


async def test_an_image_may_be_larger_than_other_bodies(shop: httpx2.AsyncClient) -> None:
    assert (await shop.post(IMAGES, content=bytes(3_000_000), headers=JPEG)).status_code == 202


async def test_what_is_larger_than_the_limit_is_refused_also_where_nothing_says_so(
    shop: httpx2.AsyncClient, place: Path
) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(1_000_000)

    for content in (bytes(5_000_000), stream()):
        assert (await shop.post(IMAGES, content=content, headers=JPEG)).status_code == 413
    assert kept(place) == []


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "", "imagejpeg"])
async def test_another_kind_of_body_is_refused(shop: httpx2.AsyncClient, place: Path, kind: str) -> None:
    answer = await shop.post(IMAGES, content=b"an image", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert kept(place) == []


async def test_an_empty_body_is_refused(shop: httpx2.AsyncClient, place: Path) -> None:
    answer = await shop.post(IMAGES, content=b"", headers=JPEG)
    assert answer.status_code == 422
    assert kept(place) == []


async def test_nothing_is_kept_where_the_queue_is_away(
    shop: httpx2.AsyncClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_queue: TaskQueue, _new: NewTask, **_: object) -> str:
        raise UnavailableError("The task queue is not available; try again soon.")

    monkeypatch.setattr(TaskQueue, "enqueue", refuse)
    answer = await shop.post(IMAGES, content=b"an image", headers=JPEG)
    assert answer.status_code == 503
    assert kept(place) == []


async def test_nothing_is_kept_of_a_body_that_ends_early(
    shop: httpx2.AsyncClient, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_off(_request: Request) -> AsyncIterator[bytes]:
        yield b"half an im"
        raise ClientDisconnect

    monkeypatch.setattr(Request, "stream", break_off)
    assert (await shop.post(IMAGES, content=b"an image", headers=JPEG)).status_code == 400
    assert kept(place) == []


@pytest.mark.parametrize("path", ["", f"/{uuid4()}/small"])
async def test_images_need_a_key(client: httpx2.AsyncClient, place: Path, path: str) -> None:
    answer = await client.request("GET" if path else "POST", f"{IMAGES}{path}", content=b"an image", headers=JPEG)
    assert answer.status_code == 401
    assert kept(place) == []


async def test_a_size_is_given_out_as_what_it_is_whatever_was_sent(shop: httpx2.AsyncClient, place: Path) -> None:
    file = BytesIO()
    Image.new("RGB", (400, 200), "red").save(file, "PNG")
    sent = await shop.post(IMAGES, content=file.getvalue(), headers={"Content-Type": "image/svg+xml"})
    image_id = sent.json()["task_id"]
    await asyncio.to_thread(images.make, image_id, "small")
    answer = await shop.get(f"{IMAGES}/{image_id}/small")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/webp"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    with Image.open(BytesIO(answer.content)) as image:
        assert (image.format, image.size) == ("WEBP", (400, 200))
    assert (await shop.get(f"{IMAGES}/{image_id}/large")).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{uuid4()}/small", 404),
        (f"{uuid4()}/original", 422),
        ("..%2Freports/small", 404),
        ("../small", 404),
        ("7/small", 422),
        (f"{uuid4()}/..%2Foriginal", 404),
    ],
)
async def test_what_is_no_image_is_not_given_out(shop: httpx2.AsyncClient, path: str, status: int) -> None:
    answer = await shop.get(f"{IMAGES}/{path}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
