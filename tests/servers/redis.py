"""Redis by itself, and as a master with replicas under the eyes of a sentinel."""

import socket
import subprocess
from pathlib import Path
from typing import Any

from redis import Redis

from servers.process import HOST, Server, accepts_connections, free_port, wait_until


class RedisServer(Server):
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

    def url(self, database: int = 0) -> str:
        return f"redis://{HOST}:{self.port}/{database}"

    def _ask(self, command: str) -> str:
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(f"{command}\r\n".encode())
                return connection.recv(1000).decode().strip()
        except ConnectionError:
            return ""


class _Node(Server):
    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(command)


class WatchedRedis:
    """A master, two replicas, and a sentinel that lets one of them take over; the password of all is `watched`.

    A master without a replica takes no writes: one that hung for a while must not go on beside the new one.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._nodes: dict[int, _Node] = {}
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
        self._nodes[self.sentinel_port] = _Node(self._program, str(configuration), "--sentinel")
        wait_until(lambda: accepts_connections(self.sentinel_port))
        wait_until(lambda: self._master()["num-slaves"] == len(self._replica_ports))
        with Redis(host=HOST, port=self.master_port, password="watched") as master:
            wait_until(lambda: master.info("replication")["min_slaves_good_slaves"] == len(self._replica_ports))

    def kill_master(self) -> None:
        """Once its replica has all that was written."""
        with Redis(host=HOST, port=self.master_port, password="watched") as master:
            assert master.wait(2, 5000) == 2
        self._nodes[self.master_port].kill()

    def freeze_master(self) -> None:
        self._nodes[self.master_port].freeze()

    def thaw_master(self) -> None:
        self._nodes[self.master_port].thaw()

    def is_taken_over(self) -> bool:
        return bool(self._master()["port"] != self.master_port)

    def close(self) -> None:
        for node in self._nodes.values():
            node.thaw()
            node.stop()

    def url(self, database: int) -> str:
        """With a sentinel first that is gone."""
        return ";".join(f"sentinel://:watched@{HOST}:{port}/{database}" for port in (free_port(), self.sentinel_port))

    def _run(self, port: int, *options: str) -> None:
        command = [self._program, "--port", str(port), "--bind", HOST, "--dir", str(self._folder), "--save", ""]
        command += ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"]
        command += ["--requirepass", "watched", "--masterauth", "watched", "--logfile", f"{port}.log"]
        self._nodes[port] = _Node(*command, *options)

    def _master(self) -> dict[str, Any]:
        """What the sentinel knows of it."""
        with Redis(host=HOST, port=self.sentinel_port) as sentinel:
            masters: Any = sentinel.sentinel_masters()
        return dict(masters["mymaster"])
