"""A service with every room on, with what else it says that it runs on."""

from pathlib import Path

import pytest
from manifest import CONFIGURATION
from own_tests import servers_at_hand, skip_for_want_of
from rendering import COMBINATIONS, PYTHON_VERSION, find_python, install, render, run

pytestmark = pytest.mark.slow

EVERYTHING = "examples-postgresql"
OTHER_PYTHONS = [version for version in CONFIGURATION["python_version"]["choices"] if version != PYTHON_VERSION]


@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_the_services_own_tests_are_green_on_other_pythons(
    request: pytest.FixtureRequest, tmp_path: Path, version: str
) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"uv finds no Python {version} on this machine")
    service = render(tmp_path / "service", python_version=version, **COMBINATIONS[EVERYTHING])
    addresses, lacking = servers_at_hand(request, EVERYTHING)
    install(service, UV_PYTHON=python)
    run(service, "pytest", **addresses)
    skip_for_want_of(lacking)


@pytest.mark.parametrize("versions", [("--resolution", "lowest-direct"), ("--upgrade",)], ids=["oldest", "newest"])
def test_the_services_own_tests_are_green_on_the_oldest_and_the_newest_versions_that_it_allows(
    request: pytest.FixtureRequest, tmp_path: Path, versions: tuple[str, ...]
) -> None:
    service = render(tmp_path / "service", **COMBINATIONS[EVERYTHING])
    addresses, lacking = servers_at_hand(request, EVERYTHING)
    (service / "uv.lock").unlink()
    run(service, "uv", "sync", "--quiet", *versions)
    run(service, "pytest", **addresses)
    skip_for_want_of(lacking)
