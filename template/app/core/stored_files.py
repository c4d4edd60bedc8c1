"""Files that API and workers share: received without being held in memory, written whole or not at all."""

import asyncio
import shutil
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from app.core.config.files import get_files_settings


def folder(*parts: str) -> Path:
    """A folder below FILES_FOLDER; it is there from now on. The parts are ours, never a caller's."""
    top = get_files_settings().folder.resolve()
    path = top.joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    if not (ignored := top / ".gitignore").exists():
        ignored.write_text("*\n")  # they belong into no repository
    return path


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A place to write the file to; it takes the target's place at the end of the block, unless that raises.

    Each writer has one of its own: two tasks may write the same file at the same time.
    """
    part = target.with_name(f"{target.name}.{uuid4().hex}.part")
    part.touch(mode=0o600)  # uploads and backups are nobody else's
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


async def receive(chunks: AsyncIterable[bytes], target: Path) -> int:
    """Write what comes in to the target; returns how many bytes that were. Nothing is left of what breaks off."""
    size = 0
    with written_whole(target) as part, part.open("wb") as file:
        async for chunk in chunks:
            await asyncio.to_thread(file.write, chunk)
            size += len(chunk)
    return size


def remove(path: Path) -> None:
    """A file, or a folder with all that is in it; nothing happens if it has gone already."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
