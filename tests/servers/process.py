"""What all servers have in common: a process, which is ended, killed or stopped, and an address on this machine."""

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def wait_until(condition: Callable[[], object], seconds: float = 15, what: Callable[[], str] = str) -> None:
    """Look again and again; AssertionError with `what()` when the seconds have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds: {condition}\n{what()}"
        time.sleep(0.02)


def end(process: subprocess.Popen[Any], with_signal: int = signal.SIGTERM, seconds: float = 30) -> int:
    """Ask it to end, kill it when it has not ended in time; returns its exit status."""
    if process.poll() is None:
        process.send_signal(with_signal)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class Server:
    _process: subprocess.Popen[bytes]
    _asks_it_to_end = signal.SIGTERM

    def start(self) -> None:
        """Until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        end(self._process, self._asks_it_to_end)

    def kill(self) -> None:
        end(self._process, signal.SIGKILL)

    def freeze(self) -> None:
        """Until `thaw`, connections to it open and stay open, and it answers none."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """For good."""
        self.stop()


class Startable(Protocol):
    def start(self) -> None: ...

    def close(self) -> None: ...


S = TypeVar("S", bound=Startable)


@contextmanager
def running(make: Callable[[Path], S]) -> Iterator[S]:
    """In a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        server = make(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.close()
