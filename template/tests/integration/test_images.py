"""Images from upload to each of their sizes, with a real worker."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx2
import pytest
from PIL import Image

from app.core import stored_files
from app.core.task_message import NewTask
from app.core.task_queue import task_queue
from app.services.images import PIXELS
from app.tasks.images import resize
from tests.fixtures.worker import TASKS, outcome

pytestmark = pytest.mark.usefixtures("worker")

IMAGES = "/api/v1/images"


@pytest.fixture(autouse=True)
def _no_images() -> Iterator[None]:
    yield
    stored_files.remove(stored_files.folder("images"))


def picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (3000, 2000), "red").save(file, "JPEG")
    return file.getvalue()


async def send(shop: httpx2.AsyncClient, content: bytes) -> dict[str, Any]:
    sent = await shop.post(IMAGES, content=content, headers={"Content-Type": "image/jpeg"})
    assert sent.status_code == 202, sent.text
    return await outcome(shop, sent.headers["Location"])


async def test_an_image_that_is_sent_comes_back_in_each_size(shop: httpx2.AsyncClient) -> None:
    task = await send(shop, picture())
    assert task["status"] == "SUCCESS", task
    assert (task["progress"]["current"], task["progress"]["total"]) == (len(PIXELS) + 1, len(PIXELS) + 1)
    assert set(task["result"]) == set(PIXELS)
    for size, link in task["result"].items():
        with Image.open(BytesIO((await shop.get(link)).content)) as image:
            assert max(image.size) == PIXELS[size]


async def test_what_is_no_image_fails_with_a_reason_and_is_gone(shop: httpx2.AsyncClient) -> None:
    task = await send(shop, b"<svg/>")
    assert task["status"] == "FAILURE"
    assert (task["error"]["type"], task["error"]["message"]) == (
        "ImageRefusedError",
        "This is no JPEG, PNG, WebP or GIF.",
    )
    assert not list(stored_files.folder("images").iterdir())


async def test_an_image_is_made_twice_to_the_same_end(shop: httpx2.AsyncClient) -> None:
    first = await send(shop, picture())
    again = NewTask(resize, {"image_id": first["task_id"]}, owner="shop")
    second = await outcome(shop, f"{TASKS}/{await task_queue.get().enqueue(again)}")
    assert second["status"] == "SUCCESS", second
    assert second["result"] == first["result"]
