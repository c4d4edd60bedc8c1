import copy
from pathlib import Path
from typing import Any

import pytest
from checkers import check
from rendering import COMBINATIONS, render
from stack.compose import DEVELOPMENT, PRODUCTION, Stack
from stack.rules import breaches

CELERY = {"cache", "redis", "worker", "beat", "flower"}
SERVICES = {
    "bare-postgresql": {"postgres"},
    "bare-sqlite": set(),
    "redis-postgresql": {"postgres", "cache"},
    "redis-sqlite": {"cache"},
    "celery-postgresql": {"postgres", *CELERY},
    "celery-sqlite": CELERY,
    "examples-postgresql": {"postgres", *CELERY},
    "examples-sqlite": CELERY,
}
IN_DEVELOPMENT = {name: {"mail", "payments"} for name in COMBINATIONS if name.startswith("examples-")}
"""And only there."""


@pytest.fixture(scope="module", params=COMBINATIONS)
def combination(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(combination: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("mein schöner") / "service", **COMBINATIONS[combination])


@pytest.mark.parametrize("files", [PRODUCTION, DEVELOPMENT])
def test_compose_takes_the_files_without_a_word(folder: Path, files: str) -> None:
    assert Stack(folder, files).compose("config", "--quiet") == ""


@pytest.mark.parametrize("files", [PRODUCTION, DEVELOPMENT])
def test_there_are_the_services_that_the_answers_ask_for_and_no_others(
    combination: str, folder: Path, files: str
) -> None:
    services = Stack(folder, files).configuration()["services"]
    added = IN_DEVELOPMENT.get(combination, set()) if files == DEVELOPMENT else set()
    assert set(services) == {"settings", "migrate", "api"} | SERVICES[combination] | added


@pytest.mark.parametrize("files", [PRODUCTION, DEVELOPMENT])
def test_each_service_keeps_the_rules(folder: Path, files: str) -> None:
    assert breaches(Stack(folder, files).configuration()) == []


def test_the_image_of_each_is_built_as_it_should_be(folder: Path) -> None:
    check("hadolint", folder / "Dockerfile")


def test_development_is_what_comes_up_unless_something_else_is_said(folder: Path) -> None:
    stack = Stack(folder)
    del stack.env["COMPOSE_FILE"]
    assert stack.configuration()["services"]["api"]["environment"]["APP_ENV"] == "development"


@pytest.mark.parametrize("service", ["api", "worker", "beat", "flower", "postgres", "redis", "cache"])
def test_a_service_without_a_health_check_is_caught_by_name(celery_configuration: dict[str, Any], service: str) -> None:
    del celery_configuration["services"][service]["healthcheck"]
    assert breaches(celery_configuration) == [f"{service}: no health check"]


@pytest.mark.parametrize(
    ("key", "value", "breach"),
    [
        ("cap_add", ["NET_RAW"], "has capabilities"),
        ("container_name", "flower", "a name of its own lets it run only once"),
        ("ports", [{"published": "5555"}], "port 5555 is open beyond this machine"),
        ("volumes", [{"type": "bind", "source": "/srv/secret"}], "can write to /srv/secret"),
    ],
)
def test_what_would_open_a_service_is_caught_by_name(
    celery_configuration: dict[str, Any], key: str, value: object, breach: str
) -> None:
    celery_configuration["services"]["flower"][key] = value
    assert breaches(celery_configuration) == [f"flower: {breach}"]


@pytest.fixture(scope="module")
def rendered_celery(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    service = render(tmp_path_factory.mktemp("celery") / "service", **COMBINATIONS["celery-postgresql"])
    return Stack(service).configuration()


@pytest.fixture
def celery_configuration(rendered_celery: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(rendered_celery)
