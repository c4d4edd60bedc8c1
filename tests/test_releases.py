import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rendering
import yaml
from manifest import questions, rendered, rooms
from packaging.version import Version
from rendering import COMBINATIONS, ROOT, git, take_snapshot

RELEASE = runpy.run_path(str(ROOT / "scripts" / "release.py"))
CHANGELOG = """# Changelog

## [Unreleased]

### Added
- Something.

## [1.1.0] - 2026-01-01
- `app/main.py` was only spoken of here.
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone whose last release is 1.1.0, with something unreleased, and a check that is green at once."""
    repository = take_snapshot(tmp_path / "clone of the template")
    git(repository, "switch", "--quiet", "-C", "main")
    for tag in git(repository, "tag", "--list").split():
        git(repository, "tag", "--delete", tag)
    (repository / "CHANGELOG.md").write_text(CHANGELOG)
    check(repository, "echo everything is checked")
    git(repository, "tag", "v1.1.0")
    git(repository, "tag", "not-a-version")
    return repository


def check(repository: Path, command: str) -> None:
    (repository / ".ci" / "run").write_text(f"#!/bin/sh\n{command}\n")
    git(repository, "commit", "--quiet", "--all", "--message", f"Check by: {command}")


def release(repository: Path, version: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, repository / "scripts" / "release.py", version],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def state(repository: Path) -> tuple[str, ...]:
    return git(repository, "rev-parse", "HEAD"), git(repository, "tag"), git(repository, "status", "--porcelain")


def test_a_release_is_dated_committed_and_tagged_and_not_pushed(repository: Path) -> None:
    before = git(repository, "rev-parse", "HEAD").strip()
    code, printed = release(repository, "1.2.0")
    assert code == 0, printed
    assert "everything is checked" in printed
    assert "git push --atomic origin main v1.2.0" in printed

    assert git(repository, "cat-file", "-t", "v1.2.0").strip() == "tag"
    assert git(repository, "rev-parse", "v1.2.0^{commit}") == git(repository, "rev-parse", "main")
    assert git(repository, "rev-parse", "main^").strip() == before
    assert not git(repository, "status", "--porcelain")
    changed = git(repository, "show", "--format=", "--name-only").split()
    assert changed == ["CHANGELOG.md", "pyproject.toml", "uv.lock"]
    assert 'version = "1.2.0"' in (repository / "pyproject.toml").read_text()
    locked = 'name = "fastapi-celery-template"\nversion = "1.2.0"'
    assert locked in (repository / "uv.lock").read_text()
    lines = (repository / "CHANGELOG.md").read_text().splitlines()
    assert lines[2] == "## [Unreleased]"
    assert lines[4].startswith("## [1.2.0] - 20")
    assert "- Something." in lines[5:9]
    assert not git(repository, "ls-remote", "origin", "v1.2.0")

    assert "no entry under Unreleased" in release(repository, "1.3.0")[1]


def test_what_is_no_release_is_refused_in_one_sentence(repository: Path) -> None:
    before = state(repository)
    for version, reason in {
        "": '"" is no version',
        "next": '"next" is no version',
        "v1.2.0": "VERSION=1.2.0.",
        "1.2.0-rc1": "VERSION=1.2.0rc1.",
        "1.2.0+mine": "VERSION=1.2.0.",
        "1.1.0": "released already",
        "1.1": "released already",
        "1.0.9": "lower than the last release, 1.1.0",
        "1.1.0rc1": "lower than the last release, 1.1.0",
    }.items():
        code, printed = release(repository, version)
        assert code == 1
        assert reason in printed, version
        assert printed.count("\n") == 1
    assert state(repository) == before


def test_a_release_is_refused_beside_main(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "idea")
    assert release(repository, "1.2.0") == (1, "Releases are made on main: type git switch main.\n")


def test_a_release_is_refused_with_changes_that_no_commit_has(repository: Path) -> None:
    (repository / "forgotten.txt").touch()
    before = state(repository)
    assert "commit them" in release(repository, "1.2.0")[1]
    assert state(repository) == before


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("exit 3", ".ci/run is red"),
        ("echo >> README.md", "changed while"),
        ("git commit -qam x --allow-empty", "changed"),
    ],
)
def test_nothing_is_tagged_when_the_check_is_red_or_was_of_something_else(
    repository: Path, command: str, reason: str
) -> None:
    check(repository, f'cd "$(dirname "$0")/.." && {command}')
    code, printed = release(repository, "1.2.0")
    assert code == 1
    assert reason in printed
    assert git(repository, "tag").split() == ["not-a-version", "v1.1.0"]
    assert "1.2.0" not in (repository / "CHANGELOG.md").read_text()


def test_what_a_service_loses_by_an_update_is_in_the_changelog() -> None:
    assert unannounced(rendering.snapshot) == []


def test_what_is_lost_without_a_word_is_named(repository: Path) -> None:
    assert unannounced(repository) == []
    git(repository, "rm", "--quiet", "template/app/main.py", "template/README.md.jinja")
    git(repository, "mv", "template/app/tasks", "template/app/jobs")
    questions = repository / "copier.yml"
    text = questions.read_text()
    given = "        - /app/api/callers.py\n"  # the first file of the room of Celery
    for there, then in {
        "use_redis:": "use_cache:",
        given: f"{given}        - /app/services/users.py\n",
        "    SQLite: sqlite\n": "",
        '["3.11", ': "[",
    }.items():
        assert text.count(there) == 1
        text = text.replace(there, then)
    questions.write_text(text)
    changelog = repository / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text().replace("- Something.", "- `app/tasks` is now `app/jobs`.\n- No `use_redis`.")
    )
    git(repository, "commit", "--quiet", "--all", "--message", "The next version")
    assert unannounced(repository) == [
        "README.md",
        "app/main.py",
        "app/services/users.py",
        "database=sqlite",
        "python_version=3.11",
    ]


def unannounced(repository: Path) -> list[str]:
    """The files, questions and choices that the last release had, HEAD has not, and the changelog does not name."""
    released = git(repository, "tag", "--list", "v*").split()
    if not released:
        return []
    last = max(released, key=Version)
    gone = asked(repository, last) - asked(repository, "HEAD")
    for answers in COMBINATIONS.values():
        gone |= files(repository, last, answers) - files(repository, "HEAD", answers)
    text = RELEASE["unreleased"]((repository / "CHANGELOG.md").read_text())
    return sorted(
        name for name in gone if not any(f"`{named}`" in text for named in (name, *map(str, Path(name).parents)))
    )


def asked(repository: Path, version: str) -> set[str]:
    """A version's questions, and their choices as `question=choice`."""
    names = set()
    for question, details in questions(configuration(repository, version)).items():
        choices = details.get("choices", [])
        values = choices.values() if isinstance(choices, dict) else choices
        names |= {question, *(f"{question}={value}" for value in values)}
    return names


def files(repository: Path, version: str, answers: dict[str, Any]) -> set[str]:
    """Those that a version renders for these answers."""
    template = git(repository, "ls-tree", "-r", "--name-only", f"{version}:template").splitlines()
    return rendered(template, rooms(configuration(repository, version), **answers))


def configuration(repository: Path, version: str) -> dict[str, Any]:
    return dict(yaml.safe_load(git(repository, "show", f"{version}:copier.yml")))
