"""Memory of an API process, and its connections to Redis, with many streams of events open and after they were closed.

`make bench-streams`, or `make bench-streams OPTIONS='--streams 500 --write'`. Needs redis-server, and glibc.
"""

import argparse
import asyncio
import os
import platform
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import copy
from typing import Any

import httpx2
import psutil
import rendering
from redis import Redis
from servers import HOST, RedisServer, end, free_port, wait_until

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "STREAMS.md"
KEY = "key of the benchmark"
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
AT_ONCE = 100
"""Requests, also those that open streams."""
SETTLE_SECONDS = 5.0
"""In which the subscription closes that nobody needs."""
IDLE_SECONDS = 5.0
"""In which nothing happens on the streams."""


@dataclass(frozen=True)
class Measured:
    what: str
    resident: float
    """MB."""
    trimmed: float
    """MB, without garbage, and without what the allocator keeps."""
    connections: int
    channels: int
    files: int
    idle: float
    """Percent of a processor."""


class Api:
    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path, server: RedisServer) -> None:
        self._process = psutil.Process(process.pid)
        self._log = log
        self._redis = Redis.from_url(server.url())
        self._address = (HOST, port)
        self._own = self._redis.client_id()
        self.url = f"http://{HOST}:{port}"

    def measure(self, what: str) -> Measured:
        time.sleep(SETTLE_SECONDS)
        before, began = self._seconds(), time.monotonic()
        time.sleep(IDLE_SECONDS)
        idle = 100 * (self._seconds() - before) / (time.monotonic() - began)
        resident, trims = self._megabytes(), self._log.read_text().count("trimmed")
        self._process.send_signal(signal.SIGUSR1)
        wait_until(lambda: self._log.read_text().count("trimmed") > trims)
        return Measured(
            what,
            resident,
            self._megabytes(),
            sum(client["id"] != str(self._own) for client in self._redis.client_list()),
            len(self._redis.pubsub_channels("celery-task-meta-*")),
            self._process.num_fds(),
            idle,
        )

    async def queue_tasks(self, number: int) -> list[str]:
        """Which nobody runs."""
        limits = httpx2.Limits(max_connections=AT_ONCE)
        async with httpx2.AsyncClient(base_url=self.url, headers=AUTHORIZED, limits=limits, timeout=60) as client:
            tasks = f"{self.url}/api/v1/tasks"
            answers = await asyncio.gather(*(client.post(f"{tasks}/users.update_stats") for _ in range(number)))
            read = await asyncio.gather(*(client.get(f"{self.url}{answer.headers['Location']}") for answer in answers))
            return [answer.json()["task_id"] for answer in read]

    async def open_streams(self, ids: list[str]) -> list[asyncio.StreamWriter]:
        writers: list[asyncio.StreamWriter] = []
        for first in range(0, len(ids), AT_ONCE):
            writers += await asyncio.gather(*map(self._open_stream, ids[first : first + AT_ONCE]))
        return writers

    async def _open_stream(self, task_id: str) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection(*self._address)
        path = f"/api/v1/tasks/{task_id}/events"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        await reader.readuntil(b"event: state")
        return writer

    def _megabytes(self) -> float:
        resident: int = self._process.memory_info().rss
        return resident / 2**20

    def _seconds(self) -> float:
        times: Any = self._process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def running_api(folder: Path, server: RedisServer) -> Iterator[Api]:
    service = rendering.render(folder / "service", use_celery=True, use_examples=False, database="sqlite")
    rendering.install(service)
    copy(HERE / "trimming_server.py", service)
    port, log = free_port(), folder / "api.log"
    env = {
        "APP_ENV": "test",
        "DATABASE_URL": "sqlite+aiosqlite:///unused.db",
        "REDIS_URL": server.url(0),
        "CELERY_BROKER_URL": server.url(1),
        "CELERY_RESULT_BACKEND": server.url(2),
        "PYTHONMALLOC": "malloc",  # Python's own allocator keeps a whole MB for any one object in it
        "FLOWER_BASIC_AUTH": "admin:unused",
        "TASK_API_KEYS": f"bench:{sha256(KEY.encode()).hexdigest()}",
        "TASK_API_UNFINISHED_LIMIT": "1000000",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["python", "trimming_server.py", str(port)],
            cwd=service,
            env=rendering.environment(service, **env),
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: "Uvicorn running" in log.read_text(), 30, log.read_text)
        yield Api(process, port, log, server)
    finally:
        end(process)


def measure(api: Api, streams: int, rounds: int) -> list[Measured]:
    ids = asyncio.run(api.queue_tasks(streams))
    rows = [api.measure(f"{streams:,} tasks queued and read, {AT_ONCE} at once")]

    async def open_and_close() -> None:
        writers = await api.open_streams(ids)
        rows.append(await asyncio.to_thread(api.measure, f"{streams:,} streams open"))
        for writer in writers:
            writer.transport.abort()

    for _ in range(rounds):
        asyncio.run(open_and_close())
        rows.append(api.measure("all of them closed"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1_000, help="each of a task of its own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"save the table in {RESULTS.name}")
    options = parser.parse_args()

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the API inherits it
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer("redis-server", Path(folder))
        server.start()
        try:
            with running_api(Path(folder), server) as api:
                rows = measure(api, options.streams, options.rounds)
        finally:
            server.stop()

    lines = [
        "| | RSS, MB | trimmed, MB | connections to Redis | channels | open files | idle, % of a CPU |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.what} | {row.resident:.1f} | {row.trimmed:.1f} | {row.connections} | {row.channels} | {row.files}"
        f" | {row.idle:.1f} |"
        for row in rows
    ]
    table = "\n".join(lines)
    each = 1024 * (rows[1].trimmed - rows[0].trimmed) / options.streams
    conditions = (
        f"{each:.0f} KB a stream. Trimmed: after a collection of garbage and `malloc_trim`, for the allocator keeps"
        " what was freed, and the next streams use it. One process of the API, with PYTHONMALLOC=malloc;"
        f" Python {platform.python_version()}, {os.cpu_count()} CPUs."
    )
    print(f"{table}\n\n{conditions}")
    if options.write:
        RESULTS.write_text(f"# Streams of events\n\n{table}\n\n{conditions}\n")


if __name__ == "__main__":
    main()
