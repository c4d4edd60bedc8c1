"""What each service of a stack, and its image, must have; each breach is named with its service or its line."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.utils.build import exclude_paths
from stack.compose import ONE_SHOTS

THIS_MACHINE = "127.0.0.1"
INTO_THE_IMAGE = {"app", "migrations", "alembic.ini", "flowerconfig.py", "pyproject.toml", "uv.lock"}
ALWAYS_SENT = {".dockerignore", "Dockerfile"}
"""What Docker reads itself; `COPY . .` leaves them out when .dockerignore does."""


def breaches(configuration: dict[str, Any]) -> list[str]:
    """`configuration` is what `docker compose config` says."""
    services = configuration["services"]
    production = services["settings"]["environment"]["APP_ENV"] == "production"
    return [
        f"{name}: {breach}"
        for name, service in services.items()
        for breach in (
            *_unsafe(service),
            *_unsteady(name, service),
            *_open(service, to_all=production and name == "api"),
        )
    ]


def _unsafe(service: dict[str, Any]) -> Iterator[str]:
    if not service.get("read_only"):
        yield "can write to its root file system"
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
        yield "has capabilities"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "can gain privileges"
    for mount in service.get("volumes", []):
        if mount["type"] == "bind" and not mount.get("read_only"):
            yield f"can write to {mount['source']}"


def steadiness_breaches(services: dict[str, Any]) -> list[str]:
    """Those that show in the file already, as YAML reads it, without Docker."""
    return [f"{name}: {breach}" for name, service in services.items() for breach in _unsteady(name, service)]


def _unsteady(name: str, service: dict[str, Any]) -> Iterator[str]:
    runs = name not in ONE_SHOTS
    if "max-size" not in service.get("logging", {}).get("options", {}):
        yield "its log grows for ever"
    if "container_name" in service:
        yield "a name of its own lets it run only once"
    if runs and "test" not in service.get("healthcheck", {}):
        yield "no health check"
    if runs and service.get("restart") != "unless-stopped":
        yield "does not start again"
    if runs and "memory" not in service.get("deploy", {}).get("resources", {}).get("limits", {}):
        yield "no limit of memory"


def _open(service: dict[str, Any], *, to_all: bool) -> Iterator[str]:
    for port in service.get("ports", []):
        if not to_all and port.get("host_ip") != THIS_MACHINE:
            yield f"port {port['published']} is open beyond this machine"


def image_breaches(dockerfile: str) -> list[str]:
    """What hadolint lets pass."""
    lines = [line.strip() for line in re.sub(r"\\\n", " ", dockerfile).splitlines()]
    last_stage = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]
    user = next((line for line in reversed(last_stage) if line.startswith("USER ")), "no USER")
    return [
        *([] if re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", user) else [f"{user}: is root, or may be"]),
        *(f"{line}: use COPY" for line in lines if line.startswith("ADD ")),
        *(f"{line}: each service has its own, in Compose" for line in lines if line.startswith("HEALTHCHECK ")),
    ]


def context_breaches(service: Path) -> list[str]:
    """The files that can get into the image, or are even sent to Docker, and must not."""
    lines = (line.strip() for line in (service / ".dockerignore").read_text().splitlines())
    sent = exclude_paths(str(service), [line for line in lines if line and not line.startswith("#")])
    return sorted(name for name in sent if Path(name).parts[0] not in INTO_THE_IMAGE | ALWAYS_SENT)
