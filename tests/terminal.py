"""A program in a terminal of its own, at which a test reads and types."""

import os
import pty
import select
import subprocess
import time

PATIENCE = 20.0


class Terminal:
    def __init__(self, command: list[str]) -> None:
        self._output = b""
        self._master, slave = pty.openpty()
        # without an answer to "where is the cursor?", which no test types, prompts would wait
        environment = os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self._process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None:
            self._process.kill()
        self._process.wait(timeout=PATIENCE)
        os.close(self._master)

    @property
    def seen(self) -> str:
        return self._output.decode(errors="replace")

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            readable, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            chunk = self._read() if readable else b""
            assert chunk, f"{text!r} did not come; what came is {self.seen!r}"
            self._output += chunk

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def _read(self) -> bytes:
        try:
            return os.read(self._master, 65_536)
        except OSError:  # how Linux says that the program has ended
            return b""
