"""From each version that was released to this one: what its user has made of a service stays as it is."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import copier
import pytest
import rendering
import yaml
from rendering import install, render, run
from updates.lived_in import (
    ASK_ROWS,
    EDITS,
    KEPT,
    MIGRATION,
    OWN_FILES,
    OWN_TASK,
    RELEASES,
    ROWS,
    after_update,
    answers_of,
    ask_sqlite,
    commit,
    edit,
    follow,
    release_next,
    start_repository,
    tree,
    undo,
    update,
    update_as_users_do,
    write_own_files,
)

UNUSUAL: dict[str, Any] = {
    "project_name": "Zoë's Shop #1",
    "project_slug": "shop-1",
    "project_description": "Sells, and remembers.",
    "database": "sqlite",
    "use_celery": True,
}
TEXTS = [
    "x",
    "Zoë's Café #1",
    "Сервис",
    "🚀 Rocket",
    "a!#%&'()*+,-./:;=?@[]^_|~z",
    *(f"a{mark}z" for mark in '{}<>`$"\\'),
]
ANSWERS: dict[str, list[Any]] = {
    "project_name": [*TEXTS, "x" * 60],
    "project_description": [*TEXTS, "x" * 200],
    "project_slug": ["ab", "x" * 40, "a1-2-b3", "class", "shop", "web", "api", "core", "main", "worker", "service"],
    "use_celery": [True, False, "yes", "no", "on", "off", "1", "0", "True", "y", "n"],
}
"""What a release may have taken, besides its own choices."""
SINCE = {"use_examples": False}
"""Questions that are newer than the first release, and the answer that an update gives unless somebody else does."""


@pytest.mark.parametrize("release", RELEASES)
def test_an_update_keeps_edits_answers_and_secrets(tmp_path: Path, release: str) -> None:
    service = render(tmp_path / "mein schöner service", version=release, **UNUSUAL)
    start_repository(service)
    own = write_own_files(service, OWN_FILES | OWN_TASK)
    for name, (before, after) in EDITS.items():
        edit(service / name, before, after)
    for name in KEPT:
        (service / name).write_text((service / name).read_text() + "# and my own remark\n")
    commit(service)
    kept = {name: (service / name).read_bytes() for name in KEPT}
    answers = answers_of(service)

    update(service)

    new = {name: answer for name, answer in SINCE.items() if not any(line.startswith(f"{name}:") for line in answers)}
    fresh = tree(render(tmp_path / "fresh" / "service", **UNUSUAL | new))
    assert undo(tree(service), EDITS.items()) == fresh | kept | own
    assert answers_of(service) == sorted([*answers, *yaml.safe_dump(new).splitlines()] if new else answers)
    said = after_update(service)
    assert not any(word in said for word in ("Conflicts", "is gone", "Answers", "settings"))


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_an_updated_service_is_sound_and_its_database_keeps_its_rows(tmp_path: Path, release: str) -> None:
    service = render(tmp_path / "mein schöner service", version=release, **UNUSUAL)
    start_repository(service)
    write_own_files(service, OWN_FILES | OWN_TASK)
    for name, (before, after) in EDITS.items():
        edit(service / name, before, after)
    run(service, "uv", "lock", "--quiet")
    install(service)
    run(service, "make", "migrate", "secrets")
    ask_sqlite(service / "service.db", *ROWS)
    commit(service)
    secrets = (service / KEPT[1]).read_text()

    follow(service, update_as_users_do(service, "--vcs-ref", "HEAD"))

    assert (service / KEPT[1]).read_text().startswith(secrets)
    assert ask_sqlite(service / "service.db", ASK_ROWS) == ["ada@example.com|apple"]
    assert MIGRATION in tree(service)
    run(service, "uv", "lock", "--check")
    run(service, "python", "-c", "import slugify")
    run(service, "alembic", "check")


def unpack_questions(version: str, folder: Path) -> Path:
    """The template as it was in that version, without anything to render."""
    archive = ["git", "archive", version, "copier.yml", "hooks"]
    done = subprocess.run(archive, cwd=rendering.snapshot, check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    (folder / "template").mkdir()
    return folder


def takes(template: Path, answers: dict[str, Any]) -> bool:
    """Whether it would render with these answers."""
    try:
        copier.run_copy(
            str(template),
            template.with_name("none"),
            data=answers,
            defaults=True,
            quiet=True,
            exclude=["*"],
            pretend=True,
        )
    except ValueError:
        return False
    return True


def refused(old: Path, new: Path) -> list[dict[str, Any]]:
    """The answers that the old version took and the new one does not."""
    questions = yaml.safe_load((old / "copier.yml").read_text())
    choices = {name: question["choices"] for name, question in questions.items() if "choices" in question}
    lists = {name: [*(them.values() if isinstance(them, dict) else them)] for name, them in choices.items()}
    answers = [{"project_slug": "shop", name: value} for name, them in (ANSWERS | lists).items() for value in them]
    return [answer for answer in answers if not takes(new, answer) and takes(old, answer)]


@pytest.mark.parametrize("release", RELEASES)
def test_each_answer_that_a_release_took_is_still_taken(tmp_path: Path, release: str) -> None:
    assert not refused(unpack_questions(release, tmp_path / "old"), unpack_questions("HEAD", tmp_path / "new"))


@pytest.mark.slow
def test_an_answer_that_a_version_takes_no_longer_is_found(tmp_path: Path) -> None:
    def tighten(template: Path) -> None:
        edit(template / "hooks" / "validators.jinja", "2 <= slug | length <= 40", "2 <= slug | length <= 20")
        edit(template / "copier.yml", '["3.11", ', "[")

    version = release_next(tmp_path / "next", "tightened", tighten)
    assert refused(unpack_questions("HEAD", tmp_path / "old"), unpack_questions(version, tmp_path / "new")) == [
        {"project_slug": "x" * 40},
        {"project_slug": "shop", "python_version": "3.11"},
    ]
