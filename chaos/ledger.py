"""A file to which tasks, sender and injector append what happened; neither Celery nor Redis has a hand in it."""

import functools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class Ledger:
    """Many processes append, one line a write; a line that has been written outlives a kill of its writer."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND)
        self._read_to = 0

    def note(self, event: str, **details: Any) -> None:
        """`at` can be compared between processes of this machine."""
        told = {"event": event, "at": time.monotonic(), "time": time.time(), "pid": os.getpid(), **details}
        os.write(self._file, f"{json.dumps(told)}\n".encode())

    def new_events(self) -> Iterator[Event]:
        """What has been noted, by whomever, since the last call."""
        while chunk := os.pread(self._file, 1 << 20, self._read_to):
            whole_lines = chunk[: chunk.rfind(b"\n") + 1]
            if not whole_lines:
                break
            self._read_to += len(whole_lines)
            yield from map(json.loads, whole_lines.splitlines())


@functools.cache
def ledger() -> Ledger:
    """That of a process which the injector started."""
    return Ledger(Path(os.environ["CHAOS_LEDGER"]))
