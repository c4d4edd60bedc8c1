"""A program that is started again whenever it has ended, as compose's restart policy does."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
from servers import end, wait_until

RESTART_AFTER = 1.5


class Supervised:
    """`ready` is what its log says once it is at work."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, env: Mapping[str, str], *, ready: str, grace: float
    ) -> None:
        self.name = name
        self._command, self._folder, self._env = command, folder, env
        self._log = folder / f"{name}.log"
        self._ready = ready.encode()
        self._grace = grace
        self._groups: set[int] = set()
        self._wanted = True

    def __enter__(self) -> Self:
        self._start()
        self._supervisor = threading.Thread(target=self._supervise)
        self._supervisor.start()
        try:
            wait_until(self.is_ready, 60, self._log.read_text)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._wanted = False
        end(self._process, seconds=1)
        self._supervisor.join()
        for group in self._groups:  # what a killed parent left behind
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def is_ready(self) -> bool:
        with self._log.open("rb") as log:
            log.seek(self._log_from)
            return self._ready in log.read()

    def pids(self) -> list[int]:
        """Its own and those of its children; none while it is not there."""
        try:
            parent = psutil.Process(self._process.pid)
            return [parent.pid, *(child.pid for child in parent.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def terminate(self) -> None:
        """Stop it as a deploy does, and return when the next one is at work."""
        old = self._process
        end(old, seconds=self._grace)
        wait_until(lambda: self._process is not old and self.is_ready(), 60, self._log.read_text)

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._log_from = log.tell()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._groups.add(self._process.pid)

    def _supervise(self) -> None:
        while True:
            self._process.wait()
            if not self._wanted:
                return
            time.sleep(RESTART_AFTER)
            self._start()
