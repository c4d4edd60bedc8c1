"""`make after-update`: says what an update has done that needs a look."""

import subprocess
from pathlib import Path

import pytest

from scripts import after_update

ANSWERS = "# Written by Copier\n_commit: v1.0.0\nproject_slug: billing_api\nwith_mail: true\n"
FILES = {
    ".copier-answers.yml": ANSWERS,
    "app/mail.py": "SENDER = None\n",
    "app/edited mail.py": "SENDER = None\n",
    "app/main.py": "one\ntwo\n",
    "migrations/versions/0001_users.py": 'revision = "0001"\ndown_revision = None\n',
    "secret/.env.production.example": "APP_NAME=Service\n",
}


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=Me", "-c", "user.email=me@example.com", *arguments], check=True)


@pytest.fixture(autouse=True)
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of a repository: rendered, committed, edited, committed. The working directory is that folder."""
    folder = tmp_path / "mein schöner service"
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.chdir(folder)
    git("init", "--quiet", "..")
    git("add", ".")
    git("commit", "--quiet", "--message", "Start")
    Path("app/edited mail.py").write_text('SENDER = "me"\n')
    git("commit", "--quiet", "--all", "--message", "Mine")


def findings(since: str = "HEAD") -> str:
    return "\n".join(finding for check in after_update.CHECKS for finding in check(since))


def test_when_nothing_needs_a_look_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("app/main.py").write_text("one\ntwo\nthree\n")
    with pytest.raises(SystemExit) as ended:
        after_update.main()
    assert not ended.value.code
    assert "Nothing of yours is lost" in capsys.readouterr().out


def test_it_fails_when_something_needs_a_look(capsys: pytest.CaptureFixture[str]) -> None:
    Path("app/edited mail.py").unlink()
    with pytest.raises(SystemExit) as ended:
        after_update.main()
    assert ended.value.code
    assert "app/edited mail.py" in capsys.readouterr().out


def test_it_fails_where_git_cannot_tell() -> None:
    with pytest.raises(SystemExit) as ended:
        after_update.main("no-such-commit")
    assert ended.value.code


def test_files_with_conflicts_are_named() -> None:
    Path("app/main.py").write_text("<<<<<<< before updating\none\n=======\nuno\n>>>>>>> after updating\ntwo\n")
    assert "Conflicts: choose between what is marked <<<<<<< and >>>>>>> in app/main.py" in findings()


def test_a_file_that_is_gone_is_named_if_it_had_been_edited() -> None:
    Path("app/edited mail.py").unlink()
    Path("app/mail.py").unlink()
    assert "app/edited mail.py is gone, and your edits with it" in findings()
    assert "app/mail.py" not in findings()


def test_what_it_says_brings_a_file_back() -> None:
    Path("app/edited mail.py").unlink()
    command = findings().splitlines()[-1]
    subprocess.run(command, shell=True, check=True)  # noqa: S602 (it is meant for a shell)
    assert Path("app/edited mail.py").read_text() == 'SENDER = "me"\n'
    assert not findings()


def test_an_update_that_is_committed_is_looked_at_from_the_commit_before_it() -> None:
    Path("app/edited mail.py").unlink()
    git("commit", "--quiet", "--all", "--message", "Update")
    assert not findings()
    assert "app/edited mail.py is gone" in findings("HEAD~1")


def test_a_migration_that_is_gone_is_named_edited_or_not() -> None:
    Path("migrations/versions/0001_users.py").unlink()
    assert "git restore --source=HEAD -- migrations/versions/0001_users.py" in findings()


def test_several_newest_migrations_are_named() -> None:
    versions = Path("migrations/versions")
    (versions / "a1_mine.py").write_text('revision = "a1"\ndown_revision = "0001"\n')
    assert not findings()
    (versions / "0002_theirs.py").write_text('revision = "0002"\ndown_revision = "0001"\n')
    assert "Migrations 0002 and a1 all claim to be the newest" in findings()
    (versions / "b1_join.py").write_text('revision = "b1"\ndown_revision = ("0002", "a1")\n')
    assert not findings()


@pytest.mark.parametrize(
    ("after", "changed"),
    [
        (ANSWERS.replace("billing_api", "my-service"), False),  # the same version: somebody answered anew
        (ANSWERS.replace("v1.0.0", "v2.0.0"), False),
        (ANSWERS.replace("v1.0.0", "v2.0.0") + "with_more: true\n", False),
        (ANSWERS.replace("v1.0.0", "v2.0.0").replace("billing_api", "my-service"), True),
        (ANSWERS.replace("v1.0.0", "v2.0.0").replace("with_mail: true\n", ""), True),
    ],
)
def test_answers_that_have_changed_with_the_version_are_named(after: str, changed: bool) -> None:
    Path(".copier-answers.yml").write_text(after)
    assert ("Answers of yours have changed" in findings()) == changed


def test_settings_that_nothing_reads_any_longer_are_named() -> None:
    Path("secret/.env.production").write_text("APP_NAME=Mine\n# MAIL_HOST=\nMAIL_SENDER=me\n")
    assert "sets what nothing reads any longer: MAIL_SENDER" in findings()
