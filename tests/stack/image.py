"""What is inside an image: its files, its layers' commands, its settings."""

import json
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any


def files(engine: Any, image: str) -> Iterator[tuple[str, bytes]]:
    """Each regular file of the image, and what is in it."""
    container = engine.containers.create(image)
    try:
        with tempfile.TemporaryFile() as archive:
            for piece in container.export():
                archive.write(piece)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                for member in tar:
                    if member.isfile() and (content := tar.extractfile(member)):
                        yield f"/{member.name}", content.read()
    finally:
        container.remove()


def places_of(engine: Any, image: str, secrets: Iterable[str]) -> list[str]:
    """Where in the image, its history and its settings any of the secrets stands."""
    needles = [secret.encode() for secret in secrets]
    about = engine.images.get(image)
    texts = [("history", json.dumps(about.history()).encode()), ("settings", json.dumps(about.attrs).encode())]
    return [place for place, content in [*texts, *files(engine, image)] if any(needle in content for needle in needles)]
