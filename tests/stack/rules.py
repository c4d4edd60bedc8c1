"""What each service of a stack must have; each breach is named with its service."""

from collections.abc import Iterator
from typing import Any

from stack.compose import ONE_SHOTS

THIS_MACHINE = "127.0.0.1"


def breaches(configuration: dict[str, Any]) -> list[str]:
    """`configuration` is what `docker compose config` says."""
    services = configuration["services"]
    production = services["settings"]["environment"]["APP_ENV"] == "production"
    return [
        f"{name}: {breach}"
        for name, service in services.items()
        for breach in (
            *_unsafe(service),
            *_unsteady(service, runs=name not in ONE_SHOTS),
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


def _unsteady(service: dict[str, Any], *, runs: bool) -> Iterator[str]:
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
