"""Pictures that strangers have sent: checked, and made anew in several sizes."""

from collections.abc import AsyncIterable
from io import BytesIO
from pathlib import Path
from typing import Literal
from uuid import UUID

from PIL import Image, ImageOps, UnidentifiedImageError

from app.core import stored_files
from app.core.stored_files import folder, written_whole
from app.services.errors import NotFoundError

Size = Literal["thumbnail", "small", "large"]
PIXELS: dict[Size, int] = {"thumbnail": 160, "small": 640, "large": 1600}
"""Of the longer side; nothing is enlarged."""
MOST_PIXELS = 25_000_000
"""Of an original; to decode each takes up to 16 bytes of memory."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")


class ImageRefusedError(Exception):
    """The message says what is wrong with it."""


async def receive(image_id: UUID, chunks: AsyncIterable[bytes]) -> int:
    """Keep what was sent; returns its size. It is never given out: only what is made anew of its pixels is."""
    folder("images", str(image_id))
    return await stored_files.receive(chunks, _original(image_id))


def check(image_id: UUID) -> None:
    """Raise ImageRefusedError if no sizes of it can be made."""
    _shrunk(image_id, "thumbnail")


def make(image_id: UUID, size: Size) -> None:
    image = _shrunk(image_id, size)
    with written_whole(_path(image_id, size)) as part:
        image.save(part, "WEBP")  # writes pixels only: neither where a photo was taken nor what hides behind them


def find(image_id: UUID, size: Size) -> Path:
    path = _path(image_id, size)
    if not path.is_file():
        raise NotFoundError(f"There is no {size} of an image {image_id}; was it sent, and has its task ended?")
    return path


def links(image_id: UUID) -> dict[Size, str]:
    """By size. NotFoundError if one of them is not there."""
    for size in PIXELS:
        find(image_id, size)
    return {size: f"/api/v1/images/{image_id}/{size}" for size in PIXELS}


def remove(image_id: UUID) -> None:
    stored_files.remove(_original(image_id).parent)


def _original(image_id: UUID) -> Path:
    return folder("images") / str(image_id) / "original"


def _path(image_id: UUID, size: Size) -> Path:
    return _original(image_id).with_name(f"{size}.webp")


def _shrunk(image_id: UUID, size: Size) -> Image.Image:
    try:
        content = _original(image_id).read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"There is no image {image_id}; send it again.") from None
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:  # by what it is, not by what its sender calls it
            if image.width * image.height > MOST_PIXELS:  # as it says itself; nothing is decoded yet
                raise ValueError(f"it has {image.width} x {image.height} pixels, and {MOST_PIXELS} are the most")
            return _upright(image, PIXELS[size])
    except UnidentifiedImageError:
        raise ImageRefusedError("This is no JPEG, PNG, WebP or GIF.") from None
    except Exception as error:  # of what a stranger sends, decoders raise whatever they like
        raise ImageRefusedError(f"This image cannot be read: {error}") from error


def _upright(image: Image.Image, pixels: int) -> Image.Image:
    """The first frame, no larger than that, turned as its camera was held, without what else the file says."""
    image.draft("RGB", (2 * pixels, 2 * pixels))  # a JPEG is decoded no larger than needed
    image.load()
    if image.mode == "I;16":  # to 8 bits, which `convert` would cut off
        image = image.point(lambda value: value * (1 / 256))
    plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    plain.thumbnail((pixels, pixels))
    return ImageOps.exif_transpose(plain)
