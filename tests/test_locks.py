import re
import tomllib
from pathlib import Path

import pytest
from manifest import rooms
from packaging.requirements import Requirement
from rendering import COMBINATIONS, ROOT, render, run

LOCKS = ROOT / "hooks" / "locks"
pytestmark = pytest.mark.usefixtures("jinja_alone")


def test_there_is_a_lock_for_each_combination_and_no_other() -> None:
    assert {path.stem for path in LOCKS.iterdir()} == set(COMBINATIONS)


# the service itself is one of the packages of its lock, and uv wants them in order
@pytest.mark.parametrize("slug", ["a1", pytest.param("zz-last", marks=pytest.mark.slow)])
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_lock_is_exact_whatever_the_name(tmp_path: Path, combination: str, slug: str) -> None:
    service = render(tmp_path / "service", project_slug=slug, **COMBINATIONS[combination])
    run(service, "uv", "lock", "--check", "--offline", UV_CACHE_DIR=str(tmp_path / "empty"))


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_lock_knows_each_dependency_of_the_manifest(combination: str) -> None:
    packages = tomllib.loads((LOCKS / f"{combination}.lock").read_text())["package"]
    (service,) = [package["metadata"] for package in packages if package["name"] == "{{ project_slug }}"]
    known = {(one["name"], one["specifier"]) for one in [*service["requires-dist"], *service["requires-dev"]["dev"]]}
    on = [room for room in rooms(**COMBINATIONS[combination]).values() if room["enabled"]]
    needed = [text for room in on for text in [*room["dependencies"], *room.get("development", [])]]
    unknown = [text for text in needed if (Requirement(text).name, str(Requirement(text).specifier)) not in known]
    assert not unknown, f"`make relock` for {', '.join(unknown)}"


def test_no_service_may_have_the_name_of_a_package_that_it_installs() -> None:
    """Two packages of one name: uv cannot read the lock. A new one goes to `packages` in hooks/validators.jinja."""
    locked = {package["name"] for lock in LOCKS.iterdir() for package in tomllib.loads(lock.read_text())["package"]}
    (refused,) = re.findall(r"set packages = \[(.+?)\]", (ROOT / "hooks" / "validators.jinja").read_text(), re.DOTALL)
    assert sorted(locked - {"{{ project_slug }}"}) == re.findall(r"'(.+?)'", refused)
