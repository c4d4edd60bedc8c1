"""Services are rendered anywhere; docs/where-it-renders.md says what of that is run, and what is checked by rule."""

import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
import rendering
from manifest import CONFIGURATION
from rendering import COMBINATIONS, copier_copy, empty_folders, environment, find_python, git, render
from terminal import Terminal
from updates.lived_in import KEPT, commit, start_repository, tree, update

DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
LONGEST_PATH = 120
"""Of 260 in Windows; the rest is for the folder above, and Copier's own temporary one takes about 70."""
NFD = unicodedata.normalize("NFD", "schöne läden")
"""As macOS spells it: each diaeresis is a character of its own."""
OLDEST = CONFIGURATION["_min_copier_version"]
COPIERS = [(OLDEST, "3.10"), (OLDEST, "3.13"), *(("newest", f"3.{minor}") for minor in range(10, 15))]


def refused_elsewhere(paths: list[str]) -> list[str]:
    """Which paths Windows or macOS would not take, or would take for another one."""
    known: dict[str, str] = {}
    return [path for path in paths if _is_refused(path) or _differs_by_case_alone(path, known)]


def _is_refused(path: str) -> bool:
    parts = Path(path).parts
    return (
        len(path) > LONGEST_PATH
        or not path.isascii()
        or any(re.search(r'[<>:"|?*\\\x00-\x1f]|[. ]$', part) for part in parts)
        or any(part.split(".")[0].lower() in DEVICES for part in parts)
    )


def _differs_by_case_alone(path: str, known: dict[str, str]) -> bool:
    folders = map(str, Path(path).parents)
    return any(known.setdefault(one.lower(), one) != one for one in (path, *folders))


def test_every_path_is_one_that_windows_and_macos_take() -> None:
    paths = git(rendering.snapshot, "ls-files", "-z").split("\0")[:-1]
    assert refused_elsewhere(paths) == []


@pytest.mark.parametrize(
    "path",
    ["app/aux.py", "NUL", "lpt1.tar.gz", "a:b", 'a"b', "a?", "a\\b", "a\tb", "app./x", "app /x", "x" * 121, "café.py"],
)
def test_a_path_that_windows_refuses_is_noticed(path: str) -> None:
    assert refused_elsewhere([path]) == [path]


def test_paths_that_differ_by_case_alone_are_noticed() -> None:
    assert refused_elsewhere(["app/Core/a.py", "app/core/b.py"]) == ["app/core/b.py"]


def test_every_text_is_checked_out_with_the_line_endings_of_unix() -> None:
    files = git(rendering.snapshot, "ls-files", "-z")
    asked = ["git", "check-attr", "-z", "--stdin", "eol"]
    said = subprocess.run(asked, cwd=rendering.snapshot, input=files, capture_output=True, text=True, check=True).stdout
    assert set(said.split("\0")[2::3]) == {"lf"}


def test_git_as_it_is_set_on_windows_leaves_no_carriage_return(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {"COUNT": "1", "KEY_0": "core.autocrlf", "VALUE_0": "true"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{variable}", value)
    git(tmp_path, "clone", "--quiet", str(rendering.snapshot), "template")
    monkeypatch.setattr(rendering, "snapshot", tmp_path / "template")
    service = render(tmp_path / "service")
    assert not with_carriage_returns(service)
    start_repository(service)
    git(tmp_path, "clone", "--quiet", "service", "again")
    assert not with_carriage_returns(tmp_path / "again")


@pytest.fixture
def folder_with_files(tmp_path: Path) -> Path:
    folder = tmp_path / "mein schöner laden"
    (folder / "app").mkdir(parents=True)
    for name in ("README.md", "notes.txt", "app/own.py"):
        (folder / name).write_text(f"my own {name}\n")
    return folder


def test_what_is_in_the_folder_is_not_overwritten_without_being_asked(folder_with_files: Path) -> None:
    before = tree(folder_with_files)
    copy = copier_copy(folder_with_files, "--defaults")
    done = subprocess.run(copy, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Consider using `--overwrite`" in done.stderr.splitlines()[-1]
    assert tree(folder_with_files).items() >= before.items()

    # Copier has stopped halfway; the same once more, with its own file named, does the rest
    subprocess.run([*copy, "--skip", "README.md"], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    fresh = tree(render(folder_with_files.parent / "fresh", python_version="3.13"))
    assert tree(folder_with_files) == fresh | before


@pytest.mark.slow
@pytest.mark.parametrize(("key", "own_readme_is_kept"), [("n", True), ("y", False)])
def test_at_a_terminal_copier_asks_before_it_overwrites(
    folder_with_files: Path, key: str, own_readme_is_kept: bool
) -> None:
    before = tree(folder_with_files)
    with Terminal(copier_copy(folder_with_files, "--defaults")) as terminal:
        terminal.wait_for("Overwrite README.md?")
        terminal.type(key)
        terminal.wait_for("is ready. Next:")
    after = tree(folder_with_files)
    assert (after["README.md"] == before["README.md"]) == own_readme_is_kept
    fresh = tree(render(folder_with_files.parent / "fresh", python_version="3.13"))
    assert after == fresh | before | ({} if own_readme_is_kept else {"README.md": fresh["README.md"]})


@pytest.mark.slow
def test_a_service_lives_in_a_subfolder_of_somebody_elses_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "my templates" / NFD
    shutil.copytree(rendering.snapshot, template)
    monkeypatch.setattr(rendering, "snapshot", template)
    repository = tmp_path / "mono repo"
    (repository / "other").mkdir(parents=True)
    (repository / "other" / "README.md").write_text("not ours\n")
    start_repository(repository)

    service = render(repository / "services" / NFD, **COMBINATIONS["bare-sqlite"])
    (service / "own.py").write_text("# mine\n")
    (service / "README.md").write_text((service / "README.md").read_text() + "\nMy own words.\n")
    commit(repository)
    for name in ("app/main.py", "README.md.jinja"):
        changed = template / "template" / name
        changed.write_text(f"# Newer\n{changed.read_text()}")
    commit(template)
    update(service, **COMBINATIONS["celery-sqlite"])

    after = tree(service)
    fresh = tree(render(tmp_path / "fresh", **COMBINATIONS["celery-sqlite"]))
    assert after.pop("own.py") == b"# mine\n"
    assert after.pop("README.md") == fresh.pop("README.md") + b"\nMy own words.\n"
    for name in KEPT:
        del after[name], fresh[name]
    assert after == fresh
    assert not empty_folders(service)
    changed_elsewhere = [line for line in git(repository, "status", "--short").splitlines() if "services/" not in line]
    assert not changed_elsewhere


def test_answers_may_come_from_a_file(tmp_path: Path, jinja_alone: None) -> None:
    """With numbers and words that YAML does not read as text."""
    (tmp_path / "answers.yml").write_text(
        "project_name: Shop 24\npython_version: 3.12\nuse_celery: no\nuse_redis: yes\n"
    )
    copy = copier_copy(tmp_path / "service", "--defaults", "--data-file", str(tmp_path / "answers.yml"))
    subprocess.run(copy, capture_output=True, check=True)
    expected = render(
        tmp_path / "fresh", project_name="Shop 24", python_version="3.12", **COMBINATIONS["redis-postgresql"]
    )
    assert tree(tmp_path / "service") == tree(expected)


@pytest.mark.slow
@pytest.mark.parametrize(("version", "python"), COPIERS)
def test_any_copier_on_any_python_renders_the_same(tmp_path: Path, version: str, python: str) -> None:
    copy = [*copier_of(version, python), *copier_copy(tmp_path / "service", "--defaults", "--quiet")[3:]]
    subprocess.run(copy, env=environment(tmp_path), check=True)
    assert tree(tmp_path / "service") == tree(render(tmp_path / "fresh", python_version="3.13"))


@pytest.mark.slow
def test_the_oldest_copier_updates_too(tmp_path: Path) -> None:
    service = render(tmp_path / "service", **COMBINATIONS["bare-sqlite"])
    start_repository(service)
    options = ["--defaults", "--quiet", "--vcs-ref", "HEAD", "--data", "use_celery=true"]
    subprocess.run([*copier_of(OLDEST, "3.11"), "update", *options], cwd=service, env=environment(tmp_path), check=True)
    after, fresh = tree(service), tree(render(tmp_path / "fresh", **COMBINATIONS["celery-sqlite"]))
    for name in KEPT:
        del after[name], fresh[name]
    assert after == fresh


@pytest.mark.slow
def test_a_copier_that_is_too_old_is_refused_with_one_line(tmp_path: Path) -> None:
    copy = [*copier_of("9.17.2", "3.11"), *copier_copy(tmp_path / "service", "--defaults")[3:]]
    done = subprocess.run(copy, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    (line,) = done.stderr.strip().splitlines()
    assert line.endswith(f"Copier version >= {OLDEST}, while your version of Copier is 9.17.2.")
    assert not (tmp_path / "service").exists()


def copier_of(version: str, python: str) -> list[str]:
    """The command of some version of Copier on some version of Python."""
    interpreter = find_python(python)
    if interpreter is None:
        pytest.skip(f"uv finds no Python {python} on this machine")
    package = "copier" if version == "newest" else f"copier=={version}"
    return ["uv", "tool", "run", "--quiet", "--isolated", "--python", interpreter, "--from", package, "copier"]


def with_carriage_returns(folder: Path) -> list[str]:
    return [name for name, content in tree(folder).items() if b"\r" in content]
