"""RabbitMQ, which wants a host name, a cookie and a port mapper, and gets them in a folder."""

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from servers.process import HOST, Server, end, free_port, wait_until
from servers.programs import DEBIAN_RABBITMQ


class RabbitServer(Server):
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
