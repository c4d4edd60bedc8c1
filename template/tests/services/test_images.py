"""Pictures that strangers have sent."""

import random
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.core import stored_files
from app.services import images
from app.services.errors import NotFoundError
from app.services.images import PIXELS, ImageRefusedError

RED, BLUE = (220, 30, 30), (30, 30, 220)
ROTATED = 0x0112  # the tag of the orientation


@pytest.fixture(autouse=True)
def place() -> Iterator[Path]:
    """Where images are kept; there are none."""
    yield stored_files.folder("images")
    stored_files.remove(stored_files.folder("images"))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(width: int = 400, height: int = 200, mode: str = "RGB") -> Image.Image:
    """Red, and blue on its right half."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image.convert(mode)


def noise(width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(7).randbytes(width * height * 3))  # noqa: S311 (no secret)


async def keep(content: bytes) -> UUID:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    image_id = uuid4()
    assert await images.receive(image_id, chunks()) == len(content)
    return image_id


def made(image_id: UUID, size: images.Size = "thumbnail") -> Image.Image:
    images.make(image_id, size)
    with Image.open(images.find(image_id, size), formats=["WEBP"]) as image:
        image.load()
        return image


def is_about(image: Image.Image, place: tuple[int, int], colour: tuple[int, ...]) -> bool:
    pixel: Any = image.convert("RGB").getpixel(place)
    return all(abs(one - other) < 40 for one, other in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
async def test_each_size_is_made_of_each_format(kind: str) -> None:
    image_id = await keep(encoded(picture(2000, 1000), kind))
    images.check(image_id)
    for size, pixels in PIXELS.items():
        image = made(image_id, size)
        assert image.size == (pixels, pixels // 2)
        assert is_about(image, (2, 2), RED)
        assert is_about(image, (pixels - 3, 2), BLUE)
    assert images.links(image_id)["small"] == f"/api/v1/images/{image_id}/small"


async def test_nothing_is_enlarged() -> None:
    assert made(await keep(encoded(picture(20, 10), "PNG")), "large").size == (20, 10)


async def test_a_thread_of_pixels_keeps_at_least_one() -> None:
    assert made(await keep(encoded(picture(20_000, 1), "PNG"))).size == (160, 1)


@pytest.mark.parametrize(
    "content",
    [
        encoded(picture(mode="CMYK"), "JPEG"),
        encoded(picture(mode="P"), "PNG"),
        encoded(picture(mode="RGBA"), "PNG"),
        encoded(picture(), "JPEG", progressive=True),
        encoded(picture(), "PNG", compress_level=0),
    ],
    ids=["CMYK", "palette", "alpha", "progressive", "uncompressed"],
)
async def test_colours_come_out_as_they_were(content: bytes) -> None:
    image = made(await keep(content))
    assert is_about(image, (5, 5), RED)
    assert is_about(image, (150, 5), BLUE)


@pytest.mark.parametrize(("value", "grey"), [(0, 0), (20_000, 78), (40_000, 156), (65_535, 255)])
async def test_grey_of_16_bits_comes_out_as_grey(value: int, grey: int) -> None:
    image = made(await keep(encoded(Image.new("I;16", (200, 200), value), "PNG")))
    assert is_about(image, (5, 5), (grey,) * 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
async def test_grey_of_fewer_bits_comes_out_as_grey(mode: str) -> None:
    assert is_about(made(await keep(encoded(Image.new("L", (200, 200), 255).convert(mode), "PNG"))), (5, 5), (255,) * 3)


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGBA"), ("WEBP", "RGBA"), ("GIF", "P")])
async def test_what_is_transparent_stays_so(kind: str, mode: str) -> None:
    clear = Image.new(mode, (200, 200), 0)
    image = made(await keep(encoded(clear, kind, **({"transparency": 0} if mode == "P" else {}))))
    assert image.mode == "RGBA"
    pixel: Any = image.getpixel((5, 5))
    assert pixel[3] == 0


def moving(kind: str) -> bytes:
    """Red first, then something else."""
    frames = [Image.new("RGB", (64, 64), RED), *(Image.effect_noise((64, 64), 99).convert("RGB") for _ in range(50))]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10)


def gif_of_many_frames() -> bytes:
    still = encoded(Image.new("RGB", (64, 64), RED), "GIF")
    start = 13 + 3 * 2 ** ((still[10] & 7) + 1)  # of the frame, after the header and its palette
    return still[:start] + 10_000 * still[start:-1] + still[-1:]


@pytest.mark.parametrize("content", [moving("GIF"), moving("WEBP"), moving("PNG"), gif_of_many_frames()])
async def test_of_a_picture_that_moves_only_the_first_frame_is_taken(content: bytes) -> None:
    with Image.open(BytesIO(content)) as sent:
        assert getattr(sent, "n_frames", 1) > 50
    image_id = await keep(content)
    images.check(image_id)
    image = made(image_id)
    assert getattr(image, "n_frames", 1) == 1
    assert is_about(image, (5, 5), RED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_a_picture_is_turned_as_its_camera_was_held_and_tells_nothing_else(kind: str) -> None:
    exif = Image.Exif()
    exif[ROTATED] = 6  # a quarter to the right
    exif[0x010F] = "maker of cameras"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 0.0)  # GPS
    image_id = await keep(encoded(picture(), kind, exif=exif))
    image = made(image_id)
    assert image.size == (80, 160)
    assert is_about(image, (40, 5), RED)
    assert is_about(image, (40, 155), BLUE)
    assert not image.getexif()
    assert b"maker" not in images.find(image_id, "thumbnail").read_bytes()


async def test_comments_and_what_is_appended_are_left_out() -> None:
    text = PngInfo()
    text.add_text("Comment", "<script>alert(1)</script>")
    image_id = await keep(encoded(picture(), "PNG", pnginfo=text) + b"<script>alert(1)</script>PK\x03\x04")
    images.check(image_id)
    images.make(image_id, "small")
    assert b"script" not in images.find(image_id, "small").read_bytes()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """One that says it has so many pixels."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (header, *chunks, (b"IEND", b""))
    )


def gif(width: int, height: int) -> bytes:
    content = encoded(Image.new("P", (1, 1)), "GIF")
    return content[:6] + struct.pack("<HH", width, height) + content[10:]


def webp(width: int, height: int) -> bytes:
    content = moving("WEBP")
    assert content[12:16] == b"VP8X"
    return content[:24] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + content[30:]


JPEG = encoded(noise(300, 300), "JPEG")
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "text": b"I am an image",
    "HTML": b"<html><body>GIF</body></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "PDF": b"%PDF-1.7\n",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",
    "TIFF": encoded(picture(), "TIFF"),
    "BMP": encoded(picture(), "BMP"),
    "the beginning of a GIF": b"GIF89a",
    "a GIF that is a script": b"GIF89a/*\x00\x00*/=alert(1)//",
    "half a JPEG": JPEG[: len(JPEG) // 2],
    "half a progressive JPEG": (one := encoded(noise(300, 300), "JPEG", progressive=True))[: len(one) // 2],
    "half a PNG": (one := encoded(noise(300, 300), "PNG"))[: len(one) // 2],
    "half a WebP": (one := encoded(noise(300, 300), "WEBP"))[: len(one) // 2],
    "half a GIF": (one := encoded(noise(300, 300).quantize(), "GIF"))[: len(one) // 2],
    "a bomb": png(20_000, 20_000, (b"IDAT", zlib.compress(bytes(1_000_000)))),
    "a bomb that is a little smaller": png(6_000, 6_000, (b"IDAT", zlib.compress(bytes(1_000_000)))),
    "a bomb of text": png(10, 10, (b"zTXt", b"key\x00\x00" + zlib.compress(bytes(100_000_000)))),
    "a GIF of a huge canvas": gif(65_535, 65_535),
    "a WebP of a large canvas": webp(6_000, 6_000),
    "a WebP of a huge canvas": webp(65_000, 65_000),
    "no pixels": png(0, 0, (b"IDAT", zlib.compress(b""))),
    "pixels that are broken": png(10, 10, (b"IDAT", b"not zlib")),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_hostile_or_broken_is_refused(name: str, place: Path) -> None:
    image_id = await keep(HOSTILE[name])
    with pytest.raises(ImageRefusedError, match=r"^This (is no JPEG, PNG, WebP or GIF|image cannot be read: .+)"):
        images.check(image_id)
    with pytest.raises(ImageRefusedError):
        images.make(image_id, "small")
    assert [path.name for path in (place / str(image_id)).iterdir()] == ["original"]


async def test_bytes_that_were_damaged_on_their_way_do_no_harm() -> None:
    """It is refused, or made of what can be read; nothing else happens."""
    chance = random.Random(11)  # noqa: S311 (no secret)
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        whole = encoded(noise(40, 40), kind)
        for _ in range(50):
            damaged = bytearray(whole)
            for _ in range(chance.randint(1, 10)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            image_id = await keep(bytes(damaged))
            try:
                images.check(image_id)
            except ImageRefusedError:
                continue
            assert max(made(image_id).size) <= PIXELS["thumbnail"]


@pytest.mark.parametrize("use", [images.check, lambda image_id: images.make(image_id, "small"), images.links])
def test_an_image_that_was_never_sent_is_not_found(use: Callable[[UUID], object], place: Path) -> None:
    image_id = uuid4()
    with pytest.raises(NotFoundError, match=str(image_id)):
        use(image_id)
    assert not (place / str(image_id)).exists()


async def test_made_again_it_is_the_same_and_nothing_else_is_left(place: Path) -> None:
    image_id = await keep(encoded(picture(), "JPEG"))
    images.make(image_id, "small")
    first = images.find(image_id, "small").read_bytes()
    images.make(image_id, "small")
    assert images.find(image_id, "small").read_bytes() == first
    assert {path.name for path in (place / str(image_id)).iterdir()} == {"original", "small.webp"}


async def test_removed_there_is_nothing_left(place: Path) -> None:
    image_id = await keep(encoded(picture(), "JPEG"))
    images.make(image_id, "small")
    images.remove(image_id)
    images.remove(image_id)
    assert not place.joinpath(str(image_id)).exists()
