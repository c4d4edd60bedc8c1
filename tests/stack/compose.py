"""A rendered service in containers: a Compose project of its own, on free ports of this machine."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import httpx2
import yaml
from rendering import environment
from servers import free_port, wait_until

PRODUCTION = "docker-compose.yml"
DEVELOPMENT = f"{PRODUCTION}:docker-compose.override.yml"
PORTS = ("API_PORT", "FLOWER_PORT", "POSTGRES_PORT", "REDIS_PORT", "CACHE_PORT", "MAIL_PORT")
HEALTHY_WITHIN = 60.0
"""Seconds, once the image is built: what the service's README says."""
ONE_SHOTS = {"settings", "migrate"}
"""Services that end when they are done."""


class Stack:
    def __init__(self, folder: Path, files: str = PRODUCTION, api_key: str = "") -> None:
        self.folder = folder
        self.project = f"{folder.name}-{uuid4().hex[:8]}"
        self.ports = {name: free_port() for name in PORTS}
        self.env = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
        self.env |= {name: str(port) for name, port in self.ports.items()}
        self.env |= {"COMPOSE_PROJECT_NAME": self.project, "COMPOSE_FILE": files}
        self.engine: Any = docker.from_env()  # its stubs take everything for None, too
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.api = httpx2.Client(base_url=f"http://127.0.0.1:{self.ports['API_PORT']}", headers=headers, timeout=30)
        self.flower_url = f"http://127.0.0.1:{self.ports['FLOWER_PORT']}"
        self.mail_url = f"http://127.0.0.1:{self.ports['MAIL_PORT']}"

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "compose", *arguments],
            cwd=self.folder,
            env=environment(self.folder, **self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def compose(self, *arguments: str) -> str:
        """What `docker compose` prints; AssertionError with that and the containers' last words when it fails."""
        done = self.attempt(*arguments)
        if done.returncode:
            logs = self.attempt("logs", "--tail", "30", "--no-color").stdout
            raise AssertionError(f"docker compose {' '.join(arguments)}:\n{done.stdout}\n{logs}")
        return done.stdout

    def up(self, *arguments: str) -> float:
        """Start it and wait until all of it is healthy; the seconds that took."""
        start = time.monotonic()
        self.compose("up", "--wait", *arguments)
        return time.monotonic() - start

    def configuration(self) -> dict[str, Any]:
        return dict(yaml.safe_load(self.compose("config")))

    def containers(self, service: str | None = None) -> list[Any]:
        filters = {"label": self._labels(service)}
        return list(self.engine.containers.list(all=True, ignore_removed=True, filters=filters))

    def by_service(self) -> dict[str, Any]:
        return {container.labels["com.docker.compose.service"]: container for container in self.containers()}

    def hosts(self, service: str) -> set[str]:
        """The names that a service's containers have for themselves."""
        return {container.attrs["Config"]["Hostname"] for container in self.containers(service)}

    def published(self) -> dict[str, set[tuple[str, int]]]:
        """By service, the addresses and ports of this machine that lead to it."""
        return {
            name: {(one["HostIp"], int(one["HostPort"])) for bindings in there for one in bindings}
            for name, container in self.by_service().items()
            if (there := [bindings for bindings in container.ports.values() if bindings])
        }

    def left_behind(self) -> list[str]:
        """Containers, networks, volumes and images that are there."""
        filters = {"label": self._labels()}
        kinds = (self.engine.networks, self.engine.volumes, self.engine.images)
        return [
            repr(one) for one in (*self.containers(), *(one for kind in kinds for one in kind.list(filters=filters)))
        ]

    def wait_until_healthy(self, seconds: float = 60) -> None:
        wait_until(lambda: not self.ailing(), seconds, lambda: f"{self.ailing()}")

    def ailing(self) -> dict[str, str]:
        """How those services are that are not as they should be."""
        states = {}
        for container in self.containers():
            service, state = container.labels["com.docker.compose.service"], container.attrs["State"]
            if service in ONE_SHOTS:
                healthy = (state["Status"], state["ExitCode"]) == ("exited", 0)
            else:
                healthy = state.get("Health", {}).get("Status") == "healthy"
            if not healthy:
                states[container.name] = f"{state}"
        return states

    def sql(self, statement: str, database: str = "") -> list[str]:
        """The rows, their columns separated by `|`; of the service's own database, unless another one is named."""
        user, database = "app", database or self.folder.name
        program = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database, "-c", statement]
        return self.compose("exec", "--no-TTY", "postgres", *program).splitlines()

    def queue(self, name: str, **arguments: Any) -> str:
        """The id of the task."""
        answer = self.api.post(f"/api/v1/tasks/{name}", json=arguments)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(self.api.get(f"/api/v1/tasks/{task_id}").raise_for_status().json())

    def wait_for(self, task_id: str, status: str, seconds: float = 30) -> dict[str, Any]:
        wait_until(lambda: self.task(task_id)["status"] == status, seconds, lambda: f"{self.task(task_id)}")
        return self.task(task_id)

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        for image in self.engine.images.list(all=True, filters={"label": self._labels()}):
            self.engine.images.remove(image.id, force=True)
        self.api.close()
        self.engine.close()

    def _labels(self, service: str | None = None) -> list[str]:
        labels = {"project": self.project} | ({"service": service} if service else {})
        return [f"com.docker.compose.{key}={value}" for key, value in labels.items()]


@contextmanager
def stack(folder: Path, files: str = PRODUCTION, api_key: str = "") -> Iterator[Stack]:
    """Nothing of it is left afterwards, whatever happens."""
    one = Stack(folder, files, api_key)
    try:
        yield one
    finally:
        one.down()
