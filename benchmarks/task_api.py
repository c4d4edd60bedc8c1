"""The task API beside what tutorials show: requests per second and their tail, waiting, health; on the same servers.

`make bench-api`, or `make bench-api OPTIONS='--rounds 3 --write'`. The load is Debian's `wrk`.
"""

import argparse
import asyncio
import json
import math
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from statistics import median

import httpx2
import psutil
import rendering
from redis import Redis
from servers import HOST, Proxy, RedisServer, end, free_port, wait_until

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "TASK_API.md"
KEY = "a key of the shop"
HEADERS = {"Authorization": f"Bearer {KEY}"}
PASSWORD = "without-one-no-service-starts-in-production"  # noqa: S105 (of a server that lives for minutes)
ORDER = {"number": 7, "email": "ada@example.org"}
CONNECTIONS = 32
WAITERS = 200
HANG_SECONDS = 3.0
PAUSE = 0.01
"""Seconds between two looks at the health."""
DELAY = 0.001
"""Seconds to a Redis that is away and back: as between two zones of a cloud."""
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Design:
    name: str
    api: str
    celery: str
    queue: str
    """Paths."""
    read: str
    wait: str


TUTORIAL = Design("tutorial", "tutorial:app", "tutorial:celery_app", "/tasks", "/tasks/{}", "/tasks/{}/result")
OURS = Design(
    "ours",
    "app.main:app",
    "app.core.celery:celery_app",
    "/api/v1/tasks/orders.confirm",
    "/api/v1/tasks/{}",
    "/api/v1/tasks/{}?wait=60",
)
DESIGNS = (TUTORIAL, OURS)


@dataclass(frozen=True)
class Load:
    """What wrk saw, and what it cost; times are milliseconds."""

    rate: float
    """Requests per second."""
    p99: float
    cpu: float
    """Of the API's process, for one request."""


@dataclass(frozen=True)
class Loads:
    queueing: Load
    reading_waiting: Load
    """The status of a task that waits for a worker, ..."""
    reading_ended: Load
    """... and of one that has ended."""


@dataclass(frozen=True)
class Round:
    near: Loads
    """Redis on this machine, ..."""
    away: Loads
    """... and as if on another."""
    waiting: float
    """Milliseconds from the end of a task to its client; the median of all."""
    threads: int
    """Of the API, while they wait."""
    health_under_load: float
    """99th percentile, in milliseconds."""
    health_while_redis_hangs: float


class Api:
    """One process of uvicorn. Each design has Redis databases of its own."""

    def __init__(self, design: Design, service: Path, server: RedisServer, *, redis_port: int) -> None:
        self.design = design
        self._service = service
        self._server = server
        self._port = free_port()
        self._url = f"http://{HOST}:{self._port}"
        urls = [_with_password(server.url(2 * DESIGNS.index(design) + number)) for number in range(2)]
        self._databases = [Redis.from_url(url) for url in urls]
        broker, results = (url.replace(f":{server.port}/", f":{redis_port}/") for url in urls)
        self._env = {
            "APP_ENV": "production",
            "DATABASE_URL": "sqlite+aiosqlite:///unused.db",
            "REDIS_URL": results,
            "CELERY_BROKER_URL": broker,
            "CELERY_RESULT_BACKEND": results,
            "TASK_API_KEYS": f"shop:{sha256(KEY.encode()).hexdigest()}",
            "TASK_API_UNFINISHED_LIMIT": "10000000",
            "FLOWER_BASIC_AUTH": "admin:benchmark",
            "ORDER": json.dumps(ORDER),
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._program("uvicorn", self.design.api, "--port", str(self._port)) as uvicorn:
            self._process = psutil.Process(uvicorn.pid)
            wait_until(self._answers, 30, self._log("uvicorn").read_text)
            yield

    def measure(self, seconds: int, away: "Api") -> Round:
        self._forget_tasks()
        waiting, threads, ended_id = asyncio.run(self._wait_for_tasks())
        near_loads, away_loads = (api.measure_loads(seconds, ended_id) for api in (self, away))
        with self._wrk(seconds, self.design.queue) as wrk:
            under_load = asyncio.run(self._watch_health(lambda: wrk.poll() is None))
        self._forget_tasks()
        hanging = asyncio.run(self._watch_health_while_redis_hangs())
        return Round(near_loads, away_loads, waiting, threads, p99(under_load), p99(hanging))

    def measure_loads(self, seconds: int, ended_id: str) -> Loads:
        reading_ended = self._load(seconds, self.design.read.format(ended_id))
        waiting_id = httpx2.post(self._url + self.design.queue, json=ORDER, headers=HEADERS).json()["task_id"]
        reading_waiting = self._load(seconds, self.design.read.format(waiting_id))
        return Loads(self._load(seconds, self.design.queue), reading_waiting, reading_ended)

    def warm_up(self) -> None:
        self._load(1, self.design.queue)
        self._forget_tasks()

    def _load(self, seconds: int, path: str) -> Load:
        before = sum(self._process.cpu_times()[:2])
        with self._wrk(seconds, path) as wrk:
            wrk.wait()
        cpu = sum(self._process.cpu_times()[:2]) - before
        said = self._log("wrk").read_text()
        shown = re.search(r" 99% +([\d.]+)(\w+) *\n.*?(\d+) requests in.*Requests/sec: +([\d.]+)", said, re.DOTALL)
        if not shown or "Non-2xx" in said or "Socket errors" in said:
            raise RuntimeError(f"{self.design.name}, {path}:\n{said}")
        return Load(float(shown[4]), float(shown[1]) * MILLISECONDS[shown[2]], 1000 * cpu / int(shown[3]))

    async def _wait_for_tasks(self) -> tuple[float, int, str]:
        """One request waits for each task; the worker is started once all of them do."""
        async with self._client() as client:
            ids = [(await client.post(self.design.queue, json=ORDER)).json()["task_id"] for _ in range(WAITERS)]

            async def wait_for(task_id: str) -> float:
                answer = await client.get(self.design.wait.format(task_id))
                return 1000 * (time.time() - float(answer.raise_for_status().json()["result"]))

            waiting = asyncio.gather(*map(wait_for, ids))
            await asyncio.sleep(1)
            threads = self._process.num_threads()
            with self._program("celery", "-A", self.design.celery, "worker", "--concurrency", "2"):
                return median(await waiting), threads, ids[0]

    async def _watch_health_while_redis_hangs(self) -> list[float]:
        async with self._client() as client:
            self._server.freeze()
            until = time.monotonic() + HANG_SECONDS
            asyncio.get_running_loop().call_at(until, self._server.thaw)
            queueing = asyncio.gather(*(client.post(self.design.queue, json=ORDER) for _ in range(5)))
            latencies = await self._watch_health(lambda: time.monotonic() < until)
            await queueing
        return latencies

    async def _watch_health(self, goes_on: Callable[[], bool]) -> list[float]:
        """Milliseconds of each answer."""
        latencies = []
        async with self._client() as client:
            while goes_on():
                began = time.perf_counter()
                (await client.get("/health/live")).raise_for_status()
                latencies.append(1000 * (time.perf_counter() - began))
                await asyncio.sleep(PAUSE)
        return latencies

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=self._url,
            headers=HEADERS,
            limits=httpx2.Limits(max_connections=None),
            timeout=60,
        )

    def _wrk(self, seconds: int, path: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """It queues tasks where `path` is for that."""
        script = ["--script", str(HERE / "post.lua")] if path == self.design.queue else []
        return self._program(
            *("wrk", "--latency", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", str(seconds)),
            *("--timeout", "20", "--header", f"Authorization: Bearer {KEY}", *script, self._url + path),
        )

    @contextmanager
    def _program(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        with self._log(command[0]).open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self._service,
                env=rendering.environment(self._service, **self._env),
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            end(process)

    def _log(self, program: str) -> Path:
        return self._service / f"{self.design.name}.{program}.log"

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self._url}/health/live").is_success
        except httpx2.TransportError:
            return False

    def _forget_tasks(self) -> None:
        """All but what kombu declares once for each connection."""
        for database in self._databases:
            while keys := [key for key in database.scan_iter(count=10_000) if not key.startswith(b"_kombu")]:
                database.unlink(*keys)


def _with_password(url: str) -> str:
    return url.replace("://", f"://:{PASSWORD}@")


def measure_distance(url: str) -> float:
    """Milliseconds that an answer takes, the median."""
    times = []
    with Redis.from_url(url) as redis:
        for _ in range(200):
            began = time.perf_counter()
            redis.ping()
            times.append(1000 * (time.perf_counter() - began))
    return median(times)


def p99(latencies: list[float]) -> float:
    return sorted(latencies)[math.ceil(0.99 * len(latencies)) - 1]


@contextmanager
def rendered_service() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        service = rendering.render(Path(folder) / "service", use_celery=True, use_examples=False, database="sqlite")
        rendering.install(service)
        shutil.copy(HERE / "orders.py", service / "app" / "tasks")
        shutil.copy(HERE / "tutorial.py", service)
        yield service


Row = tuple[str, Callable[[Round], float], str]


def rows_of(what: str, read: Callable[[Round], Load]) -> list[Row]:
    return [
        (f"{what}, requests/s", lambda one: read(one).rate, ",.0f"),
        (f"{what}, p99 in ms", lambda one: read(one).p99, ",.1f"),
        (f"{what}, CPU in ms a request", lambda one: read(one).cpu, ".2f"),
    ]


ROWS: list[Row] = [
    *rows_of("queueing", lambda one: one.near.queueing),
    *rows_of("status of a waiting task", lambda one: one.near.reading_waiting),
    *rows_of("status of an ended task", lambda one: one.near.reading_ended),
    *rows_of("queueing, Redis away", lambda one: one.away.queueing),
    *rows_of("status of a waiting task, Redis away", lambda one: one.away.reading_waiting),
    *rows_of("status of an ended task, Redis away", lambda one: one.away.reading_ended),
    (f"{WAITERS} waiters, end of task to client, median in ms", lambda one: one.waiting, ",.1f"),
    (f"{WAITERS} waiters, threads of the API meanwhile", lambda one: one.threads, ".0f"),
    ("`/health/live` while others queue, p99 in ms", lambda one: one.health_under_load, ",.1f"),
    ("`/health/live` while Redis hangs, p99 in ms", lambda one: one.health_while_redis_hangs, ",.1f"),
]


def as_table(rounds: dict[Design, list[Round]]) -> str:
    lines = ["| | tutorial | ours | ratio |", "|---|--:|--:|--:|"]
    for title, read, form in ROWS:
        tutorial, ours = ([read(one) for one in rounds[design]] for design in DESIGNS)
        ratio = median(one / other for one, other in zip(ours, tutorial, strict=True))
        lines.append(f"| {title} | {median(tutorial):{form}} | {median(ours):{form}} | {ratio:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=5, help="of each load in each round")
    parser.add_argument("--write", action="store_true", help=f"save the table in {RESULTS.name}")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        parser.error("wrk is not installed: apt-get install wrk")

    load_before, *_ = os.getloadavg()
    rounds: dict[Design, list[Round]] = {design: [] for design in DESIGNS}
    with rendered_service() as service, tempfile.TemporaryDirectory() as folder:
        server = RedisServer("redis-server", Path(folder))
        server.start()
        Redis.from_url(server.url()).config_set("requirepass", PASSWORD)
        with ExitStack() as stack:
            stack.callback(server.stop)
            network = stack.enter_context(Proxy(server.port, DELAY))
            away = measure_distance(_with_password(server.url()).replace(str(server.port), str(network.port)))
            pairs = [
                [Api(design, service, server, redis_port=port) for port in (server.port, network.port)]
                for design in DESIGNS
            ]
            for api in chain(*pairs):
                stack.enter_context(api.running())
                api.warm_up()
            for number in range(options.rounds):
                for near, far in pairs if number % 2 == 0 else reversed(pairs):
                    rounds[near.design].append(near.measure(options.seconds, far))
                    print(near.design.name, rounds[near.design][-1], flush=True)
    conditions = (
        f"Medians of {options.rounds} rounds, each load {options.seconds} s by {CONNECTIONS} connections, one API at"
        " work at a time, each one process of uvicorn with its access log; of ratios, those of each round. Redis away:"
        f" behind a proxy, a PING takes {away:.1f} ms. Python {platform.python_version()}, {os.cpu_count()} CPUs, load"
        f" average {load_before:.1f} before."
    )
    table = as_table(rounds)
    print(f"{table}\n\n{conditions}")
    if options.write:
        RESULTS.write_text(f"# The task API\n\n{table}\n\n{conditions}\n")


if __name__ == "__main__":
    main()
