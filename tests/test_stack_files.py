"""The stack's files, as they are written. That they keep these promises on a real Docker is proven in tests/stack."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers import check
from stack.rules import context_breaches, image_breaches, steadiness_breaches


def services(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "docker-compose.yml").read_text())["services"])


def test_each_service_has_a_health_check_a_limit_and_an_end_of_its_log(one_of_each_room: Path) -> None:
    breaches = steadiness_breaches(services(one_of_each_room))
    assert not breaches, "\n".join(breaches)


def test_the_shell_in_the_compose_file_is_sound(one_of_each_room: Path) -> None:
    """Of each `sh -c` and CMD-SHELL, with what Compose puts in place of its own variables."""
    for one in services(one_of_each_room).values():
        for command in (one.get("command"), one.get("entrypoint"), one.get("healthcheck", {}).get("test")):
            if command and command[0] in ("sh", "CMD-SHELL"):
                script = re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", command[-1]).replace("$$", "$")
                check("shellcheck", "--shell=sh", "-", read=script)


def test_no_file_but_those_that_run_can_get_into_the_image(one_of_each_room: Path) -> None:
    assert (one_of_each_room / "secret" / ".env.production").exists()
    breaches = context_breaches(one_of_each_room)
    assert not breaches, "\n".join(breaches)


def test_the_image_is_built_as_it_should_be(one_of_each_room: Path) -> None:
    check("hadolint", one_of_each_room / "Dockerfile")
    breaches = image_breaches((one_of_each_room / "Dockerfile").read_text())
    assert not breaches, "\n".join(breaches)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("FROM python", "DL3006"),
        ("FROM python:latest", "DL3007"),
        ("USER root", "DL3002"),
        ("ENV DATABASE_PASSWORD=a", "DL3064"),
        ("ARG API_TOKEN", "DL3064"),
        ("RUN apt-get update && apt-get install -y curl=8", "DL3009"),
        ("RUN apt-get update && apt-get install -y curl=8", "DL3015"),
    ],
)
def test_hadolint_names_what_an_image_should_not_have(line: str, named: str) -> None:
    with pytest.raises(AssertionError, match=named):
        check("hadolint", "-", read=f"FROM python:3.13-slim\n{line}\n")


@pytest.mark.parametrize(
    ("lines", "breach"),
    [
        ("CMD true", "no USER: is root, or may be"),
        ("USER 0:0", "USER 0:0: is root, or may be"),
        ("USER app", "USER app: is root, or may be"),
        ("USER 1:1\nFROM python:3.13-slim", "no USER: is root, or may be"),
        ("ADD https://example.org/a /a\nUSER 1:1", "ADD https://example.org/a /a: use COPY"),
        ("USER 1:1\nHEALTHCHECK CMD true", "HEALTHCHECK CMD true: each service has its own, in Compose"),
    ],
)
def test_what_hadolint_lets_pass_is_named(lines: str, breach: str) -> None:
    assert image_breaches(f"FROM python:3.13-slim\n{lines}\n") == [breach]
