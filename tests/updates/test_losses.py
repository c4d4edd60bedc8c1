"""What Copier loses without a word: each loss is brought about here, and told by `make after-update`, or prevented."""

from pathlib import Path

import pytest
import yaml
from rendering import git, render
from updates.lived_in import (
    OWN_TASK,
    after_update,
    commit,
    edit,
    release_next,
    start_repository,
    type_in,
    update,
    update_as_users_do,
    write_own_files,
)

EDITS = {
    "app/services/users.py": ("The next `limit` users by id.", "The next users."),  # moved
    "app/core/logging.py": ("One way to log", "Our way to log"),  # removed
    "app/tasks/reports.py": (
        "    counts = {}\n",
        "    counts: dict[str, int] = {}\n",
    ),  # of a room that is off
    "app/core/mail.py": ("An open connection", "An encrypted connection"),  # the same, of a room that needs that one
    "alembic.ini": ("timezone = UTC", "timezone = Europe/Berlin"),  # edited by both
}
OWN_TRACING = '"""My own tracing."""\n'
SECRETS = "secret/.env.production"


def lose(template: Path) -> None:
    """A next version that does all that a next version should not."""
    git(template, "mv", "template/app/services/users.py", "template/app/services/people.py")
    git(template, "rm", "template/app/core/logging.py")
    edit(template / "template" / "alembic.ini", "timezone = UTC", "timezone = Europe/Paris")
    (template / "template" / "app" / "core" / "tracing.py").write_text('"""The tracing of all services."""\n')
    edit(template / "hooks" / "validators.jinja", "2 <= slug | length <= 40", "2 <= slug | length <= 10")


def forget_secrets(template: Path) -> None:
    edit(template / "copier.yml", f"  - /{SECRETS}\n", "")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Edited, committed, and updated to a version that loses, with Celery switched off at once."""
    folder = tmp_path_factory.mktemp("losses")
    version = release_next(folder / "template", "losing", lose)
    service = render(folder / "mein schöner service", project_slug="billing-service", database="sqlite")
    start_repository(service)
    write_own_files(service, OWN_TASK)
    for name, (before, after) in EDITS.items():
        edit(service / name, before, after)
    (service / "app" / "core" / "tracing.py").write_text(OWN_TRACING)
    commit(service)
    update_as_users_do(service, "--vcs-ref", version, use_celery="false", use_redis="false")  # and it ends with 0
    return service


@pytest.fixture(scope="module")
def said(service: Path) -> str:
    return after_update(service)


def test_a_conflict_is_told(service: Path, said: str) -> None:
    assert "<<<<<<< before updating" in (service / "alembic.ini").read_text()
    assert "Conflicts: choose between what is marked <<<<<<< and >>>>>>> in alembic.ini, app/core/tracing.py" in said


def test_a_file_that_both_have_added_is_a_conflict(service: Path, said: str) -> None:
    assert OWN_TRACING in (service / "app" / "core" / "tracing.py").read_text()


def test_an_answer_that_is_taken_no_longer_is_told(service: Path, said: str) -> None:
    assert yaml.safe_load((service / ".copier-answers.yml").read_text())["project_slug"] == "my-service"
    assert "-project_slug: billing-service, +project_slug: my-service" in said


@pytest.mark.parametrize("name", sorted(EDITS.keys() - {"alembic.ini"}))
def test_an_edit_in_a_file_that_was_moved_removed_or_of_a_room_that_is_off_is_told(
    service: Path, said: str, name: str
) -> None:
    assert not (service / name).exists()
    assert f"{name} is gone, and your edits with it" in said
    restore = f"git restore --source=HEAD -- {name}"
    assert restore in said
    type_in(service, restore)
    assert EDITS[name][1] in (service / name).read_text()


def test_what_was_not_edited_is_gone_without_a_word(service: Path, said: str) -> None:
    assert not (service / "app" / "tasks" / "users.py").exists()
    assert "app/tasks/users.py" not in said


def test_a_file_of_a_users_own_stays_also_among_those_of_a_room_that_is_off(service: Path) -> None:
    assert (service / "app" / "tasks" / "invoices.py").read_text() == OWN_TASK["app/tasks/invoices.py"]


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False])
def test_secrets_are_lost_but_for_the_line_that_keeps_them(tmp_path: Path, kept: bool) -> None:
    version = "HEAD" if kept else release_next(tmp_path / "template", "forgetting", forget_secrets)
    service = render(tmp_path / "service", version=version, database="sqlite")
    start_repository(service)
    (service / SECRETS).write_text("APP_NAME=Mine\n")  # Git does not know it
    update(service, version)
    assert ((service / SECRETS).read_text() == "APP_NAME=Mine\n") == kept
