"""Real servers for tests: each in a temporary folder, on a free port of this machine, ended by its process id."""

import asyncio
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, Self

import psutil
import pytest
from redis import Redis

HOST = "127.0.0.1"
DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")
DEBIAN_RABBITMQ = Path("/usr/lib/rabbitmq/bin")
"""Not those on the PATH, which become another user first."""


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


class RedisServer:
    """It writes nothing down, unless told when: after each command (`always`) or each second (`everysec`)."""

    def __init__(self, program: str, folder: Path, append_fsync: str | None = None) -> None:
        self._command = [program, "--bind", HOST, "--databases", "1000", "--save", ""]
        self._command += ["--dir", str(folder), "--logfile", "redis.log"]
        if append_fsync:
            self._command += ["--appendonly", "yes", "--appendfsync", append_fsync]
        self.port = free_port()

    def start(self) -> None:
        self._process = subprocess.Popen([*self._command, "--port", str(self.port)])
        wait_until(lambda: self._ask("PING") == "+PONG")

    def stop(self) -> None:
        end(self._process)

    def kill(self) -> None:
        end(self._process, signal.SIGKILL)

    def freeze(self) -> None:
        """Until `thaw`, connections to it open and stay open, and it answers none."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def url(self, database: int = 0) -> str:
        return f"redis://{HOST}:{self.port}/{database}"

    def _ask(self, command: str) -> str:
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(f"{command}\r\n".encode())
                return connection.recv(1000).decode().strip()
        except ConnectionError:
            return ""


class WatchedRedis:
    """A master, two replicas, and a sentinel that lets one of them take over; the password of all is `watched`.

    A master without a replica takes no writes: one that hung for a while must not go on beside the new one.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.sentinel_port = free_port()
        self.master_port, *self._replica_ports = (free_port() for _ in range(3))

    def start(self) -> None:
        self._run(self.master_port)
        for port in self._replica_ports:
            self._run(port, "--replicaof", f"{HOST} {self.master_port}")
        configuration = self._folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.sentinel_port}\nbind {HOST}\ndir {self._folder}\nlogfile sentinel.log\n"
            f"sentinel monitor mymaster {HOST} {self.master_port} 1\nsentinel auth-pass mymaster watched\n"
            "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n"
        )
        sentinel = subprocess.Popen([self._program, str(configuration), "--sentinel"])
        self._processes[self.sentinel_port] = sentinel
        wait_until(lambda: accepts_connections(self.sentinel_port))
        wait_until(lambda: self._master()["num-slaves"] == len(self._replica_ports))
        with Redis(host=HOST, port=self.master_port, password="watched") as master:
            wait_until(lambda: master.info("replication")["min_slaves_good_slaves"] == len(self._replica_ports))

    def kill_master(self) -> None:
        """Once its replica has all that was written."""
        with Redis(host=HOST, port=self.master_port, password="watched") as master:
            assert master.wait(2, 5000) == 2
        end(self._processes[self.master_port], signal.SIGKILL)

    def freeze_master(self) -> None:
        self._processes[self.master_port].send_signal(signal.SIGSTOP)

    def thaw_master(self) -> None:
        self._processes[self.master_port].send_signal(signal.SIGCONT)

    def is_taken_over(self) -> bool:
        return bool(self._master()["port"] != self.master_port)

    def stop(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            end(process)

    def url(self, database: int) -> str:
        """With a sentinel first that is gone."""
        return ";".join(f"sentinel://:watched@{HOST}:{port}/{database}" for port in (free_port(), self.sentinel_port))

    def _run(self, port: int, *options: str) -> None:
        command = [self._program, "--port", str(port), "--bind", HOST, "--dir", str(self._folder), "--save", ""]
        command += ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"]
        command += ["--requirepass", "watched", "--masterauth", "watched", "--logfile", f"{port}.log"]
        self._processes[port] = subprocess.Popen([*command, *options])

    def _master(self) -> dict[str, Any]:
        """What the sentinel knows of it."""
        with Redis(host=HOST, port=self.sentinel_port) as sentinel:
            masters: Any = sentinel.sentinel_masters()
        return dict(masters["mymaster"])


class PostgresServer:
    """PostgreSQL, which logs every connection: those of `service`, who is tested, and those of `postgres`, the test."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._log = folder / "postgres.log"
        self._log.touch()
        self.port = free_port()
        self._user = None if os.getuid() else "postgres"  # it refuses to run as root
        if self._user:
            for path in (folder, self._log):
                shutil.chown(path, self._user)
        self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",
            "log_connections": "on",
            "log_disconnections": "on",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", *options],
                cwd=self._folder,
                user=self._user,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, what=self._log.read_text)

    def stop(self) -> None:
        end(self._process, signal.SIGINT)  # cuts connections, rolls back what is open

    def kill(self) -> None:
        backends = psutil.Process(self._process.pid).children()
        self._process.kill()
        for backend in backends:
            with suppress(psutil.NoSuchProcess):
                backend.kill()
        self._process.wait()
        psutil.wait_procs(backends)

    def restart(self) -> None:
        self.stop()
        self.start()

    def create_database(self, name: str, template: str = "template1") -> str:
        """Its address."""
        self.query(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def url(self, database: str = "postgres", user: str = "service") -> str:
        return f"postgresql://{user}@{HOST}:{self.port}/{database}"

    def query(self, sql: str, database: str = "postgres") -> list[str]:
        """The rows, their columns separated by `|`."""
        rows = self._run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url(database, "postgres"))
        return rows.splitlines()

    def connections(self, database: str, state: str = "%") -> int:
        """How many the service has open now, in states such as `active`, `idle` and `idle in transaction`."""
        return self._count(f"datname = '{database}' AND state LIKE '{state}'")

    def transactions(self, database: str) -> int:
        """How many of the service's have written something, and are open now."""
        return self._count(f"datname = '{database}' AND backend_xid IS NOT NULL")

    def connections_ever(self, database: str) -> int:
        """How many the service has made since its creation."""
        return sum(change > 0 for change in self._changes(database))

    def connections_at_once(self, database: str) -> int:
        """How many the service had open at the busiest moment since its creation."""
        now = most = 0
        for change in self._changes(database):
            now += change
            most = max(most, now)
        return most

    def _changes(self, database: str) -> Iterator[int]:
        events = rf"(connection authorized|disconnection): .*user=service database={database}\b"
        for event in re.findall(events, self._log.read_text()):
            yield 1 if event == "connection authorized" else -1

    def _count(self, condition: str) -> int:
        (count,) = self.query(f"SELECT count(*) FROM pg_stat_activity WHERE usename = 'service' AND {condition}")  # noqa: S608 (ours)
        return int(count)

    def _is_ready(self) -> bool:
        ask = [str(self._programs / "pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, cwd=self._folder, user=self._user, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stderr}"
        return done.stdout


class RabbitServer:
    """RabbitMQ, one node; everything of it, cookie and port mapper too, is in its folder and on this machine alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "rabbitmq.log"
        self.port = free_port()
        mapper_port = str(free_port())
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.default = {HOST}:{self.port}\nlog.console = true\n")
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),  # of the cookie
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": mapper_port,
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ALLOW_INPUT": "yes",  # the script becomes the server, in place of starting it
        }
        self._mapper = subprocess.Popen(["epmd", "-address", HOST, "-port", mapper_port])

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [DEBIAN_RABBITMQ / "rabbitmq-server", "-noinput"],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, 60, self._log.read_text)

    def stop(self) -> None:
        end(self._process)

    def kill(self) -> None:
        end(self._process, signal.SIGKILL)

    def freeze(self) -> None:
        """Until `thaw`, connections to it open and stay open, and it answers none."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.stop()
        end(self._mapper)

    def add_virtual_host(self, name: str) -> str:
        """Its address."""
        self.control("add_vhost", name)
        self.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return f"amqp://guest:guest@{HOST}:{self.port}/{name}"

    def control(self, *command: str) -> str:
        """What `rabbitmqctl` prints."""
        control = [str(DEBIAN_RABBITMQ / "rabbitmqctl"), "--quiet", *command]
        done = subprocess.run(control, env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(control)}: {done.stdout}{done.stderr}"
        return done.stdout

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=5) as connection:
            connection.sendall(b"AMQP\0\0\x09\x01")
            return bool(connection.recv(1))
        return False


class Proxy:
    """TCP in front of a server, to take the network away from those who come through it."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self.port = free_port()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Future[Any]] = set()

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._open = asyncio.Event()
        self._open.set()
        self._in_loop(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._in_loop(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def forward(self) -> None:
        """As if it were not there; what was dropped arrives now, as TCP sends it again."""
        if not self._server.is_serving():
            self._in_loop(self._listen())
        self._loop.call_soon_threadsafe(self._open.set)

    def drop_packets(self) -> None:
        """Connections open and stay open, and nothing comes through."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def refuse(self) -> None:
        """Cut all connections, and let nobody connect."""
        self._in_loop(self._hang_up())

    def _in_loop(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=512)

    async def _hang_up(self) -> None:
        self._server.close()
        self._open.set()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(HOST, self._target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, target_writer}
        self._writers |= pair
        self._serving.add(
            serving := asyncio.gather(self._pump(reader, target_writer), self._pump(target_reader, writer))
        )
        await serving
        self._serving.discard(serving)
        self._writers -= pair

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # cut, by us or by the other side
        finally:
            writer.close()


def unavailable(what: str) -> NoReturn:
    """Skip the test that needs it; where all tests must run, fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI runs every test")
    pytest.skip(what)


def find_postgresql() -> Path:
    """The folder of its programs; not all of them are on the PATH everywhere."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = sorted(DEBIAN_POSTGRESQL.glob("*/bin/initdb"), key=lambda program: int(program.parts[4]))
    if not installed:
        unavailable("PostgreSQL (initdb) is not installed")
    return installed[-1].parent


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    program = shutil.which("redis-server")
    if program is None:
        unavailable("Redis (redis-server) is not installed")
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(program, Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs = find_postgresql()
    if os.getuid() == 0 and "postgres" not in (user.pw_name for user in pwd.getpwall()):
        unavailable("PostgreSQL cannot run as root, and there is no user postgres")
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(programs, Path(folder))
        server.start()
        server.query("CREATE ROLE service SUPERUSER LOGIN")
        yield server
        server.stop()


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    if not DEBIAN_RABBITMQ.exists():
        unavailable("RabbitMQ (Debian's rabbitmq-server) is not installed")
    with tempfile.TemporaryDirectory() as folder:
        server = RabbitServer(Path(folder))
        server.start()
        yield server
        server.close()


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url()


@pytest.fixture(scope="session")
def postgresql_url(postgres_server: PostgresServer) -> str:
    return postgres_server.url()
