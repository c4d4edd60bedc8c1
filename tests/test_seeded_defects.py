"""Each kind of defect, seeded alone, is caught by the guard that is there for it, and called by its name."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import rendering
from rendering import COMBINATIONS, environment, render, take_snapshot

pytestmark = pytest.mark.slow
RENDERING = "tests/test_rendering.py::{}[bare-sqlite, Python 3.11]"
WITHOUT_COOKBOOK = "tests/test_rendering.py::{}[celery-sqlite, Python 3.12]"
HOSTILE_ANSWER = "tests/test_questions.py::test_a_bad_answer_is_refused_with_one_sentence_and_nothing_is_written[{}]"
STACK_FILES = "tests/test_stack_files.py::{}[celery-postgresql]"


@dataclass(frozen=True)
class Defect:
    file: str
    before: str
    after: str
    guard: str
    """A test of this repository, or of the service that is rendered from it: one in template/."""
    names: str
    """What the guard says of it."""


SEEDED = {
    "the manifest forgets a file": Defect(
        "copier.yml",
        "        - /app/core/celery.py\n",
        "",
        RENDERING.format("test_no_room_that_is_off_is_spoken_of"),
        "app/core/celery.py:",
    ),
    "the manifest forgets a file that has no word of its room in it": Defect(
        "copier.yml",
        "        - /app/core/task_list.py\n",
        "",
        "tests/test_modules.py::test_each_module_of_the_app_is_used[bare-sqlite]",
        "app.core.task_list",
    ),
    "the manifest forgets the pages of the cookbook": Defect(
        "copier.yml",
        "        - /docs/cookbook\n",
        "",
        WITHOUT_COOKBOOK.format("test_no_room_that_is_off_is_spoken_of"),
        "docs/cookbook/README.md:",
    ),
    "a room speaks of one that needs it": Defect(
        "template/app/core/celery.py",
        "\nbeat_schedule: ",
        "\n# e-mail goes out over SMTP\nbeat_schedule: ",
        WITHOUT_COOKBOOK.format("test_no_room_that_is_off_is_spoken_of"),
        "# e-mail goes out over SMTP",
    ),
    "an update adds a room that nobody asked for": Defect(
        "copier.yml",
        "{{ use_celery and is_new }}",
        "{{ use_celery }}",
        "tests/updates/test_switching_examples.py::"
        "test_a_new_service_has_the_cookbook_and_an_update_adds_it_only_where_it_is_asked_for[Celery]",
        "assert True == False",
    ),
    "a page of the cookbook quotes code that has changed": Defect(
        "template/docs/cookbook/reports.md",
        "raise self.replace(chord(",
        "raise self.replace(group(",
        "tests/test_cookbook.py::test_code_that_a_page_quotes_is_in_the_service[reports.md]",
        "AssertionError: line ",
    ),
    "the manifest names a folder with a slash behind it": Defect(
        "copier.yml",
        "        - /app/tasks\n",
        "        - /app/tasks/\n",
        "tests/test_manifest.py::test_a_path_in_the_manifest_can_match_nothing_but_itself[celery]",
        "'/app/tasks/'",
    ),
    "a room's dependency is not in the locks": Defect(
        "copier.yml",
        'dependencies: ["celery[redis]>=5.7", ',
        'dependencies: ["celery[redis]>=5.7", "inflection>=0.5", ',
        "tests/test_locks.py::test_the_lock_knows_each_dependency_of_the_manifest[celery-postgresql]",
        "inflection>=0.5",
    ),
    "a room's dependency is not in this repository's own lock": Defect(
        "copier.yml",
        'dependencies: ["celery[redis]>=5.7", ',
        'dependencies: ["celery[redis]>=5.7", "inflection>=0.5", ',
        "tests/test_manifest.py::test_the_development_environment_holds_what_the_service_depends_on",
        "inflection>=0.5",
    ),
    "a room is not in the matrix": Defect(
        "copier.yml",
        "    sqlite:\n      enabled:",
        "    mail: {enabled: {{ use_celery and not use_redis }}, files: []}\n    sqlite:\n      enabled:",
        "tests/test_manifest.py::test_each_set_of_rooms_that_the_answers_allow_is_a_combination_of_the_suite",
        "'mail'",
    ),
    "an answer is not in the matrix": Defect(
        "copier.yml",
        "    SQLite: sqlite\n",
        "    SQLite: sqlite\n    MySQL: mysql\n",
        "tests/test_manifest.py::test_each_answer_to_a_question_is_given_in_some_combination[database]",
        "database: {'mysql'}",
    ),
    "copier.yml asks for trust": Defect(
        "copier.yml",
        "_subdirectory: template\n",
        "_subdirectory: template\n_tasks:\n  - make secrets\n",
        "tests/test_manifest.py::test_nothing_in_the_configuration_needs_trust",
        "'_tasks': ['make secrets']",
    ),
    "a question lost its validator": Defect(
        "copier.yml",
        """  validator: "{% from 'hooks/validators.jinja' import check_slug %}{{ check_slug(project_slug) }}"\n""",
        "",
        HOSTILE_ANSWER.format(ascii("slug: '../shop'")),
        "DID NOT RAISE",
    ),
    "a toggle lost its validator": Defect(
        "copier.yml",
        "{{ check_bool('use_redis', _copier_conf.data) or check_redis",
        "{{ check_redis",
        HOSTILE_ANSWER.format("'maybe Redis'"),
        "DID NOT RAISE",
    ),
    "Python imports a room that is off": Defect(
        "template/app/main.py",
        "\nfrom app.core.",
        "\nfrom app.core import task_list  # noqa: F401\nfrom app.core.",
        "tests/test_modules.py::test_each_module_that_is_imported_is_there[bare-sqlite]",
        "app/main.py imports app.core.task_list",
    ),
    "Jinja is in a file that is not rendered": Defect(
        "template/mypy.ini",
        "[mypy]\n",
        "# {{ project_name }}\n[mypy]\n",
        RENDERING.format("test_nothing_is_left_of_jinja"),
        "mypy.ini: ",
    ),
    "nothing reads a key of the settings files": Defect(
        "template/secret/.env.production.jinja",
        "APP_LOG_LEVEL=INFO\n",
        "APP_LOG_LEVEL=INFO\nAPP_COLOUR=blue\n",
        "template/tests/test_documents.py::test_a_settings_file_holds_each_setting_once_and_nothing_else",
        "APP_COLOUR",
    ),
    "a setting is in no settings file": Defect(
        "template/app/core/config/database.py",
        "    pool_size: PositiveInt = 5\n",
        "    pool_size: PositiveInt = 5\n    colour: int = 5\n",
        "template/tests/test_documents.py::test_a_settings_file_holds_each_setting_once_and_nothing_else",
        "DATABASE_COLOUR",
    ),
    "an entry of the schedule names no task": Defect(
        "template/app/core/celery.py",
        '"task": "outbox.relay"',
        '"task": "outbox.rely"',
        "template/tests/core/test_celery.py::test_an_entry_of_the_schedule_fits_a_task",
        "KeyError: 'outbox.rely'",
    ),
    # on real containers: tests/stack/test_configuration.py, test_a_service_without_a_health_check_is_caught_by_name
    "a service of the stack has no health check": Defect(
        "template/docker-compose.yml.jinja",
        "      test: [CMD, python, -m, app.core.health_check, beat]\n",
        "",
        STACK_FILES.format("test_each_service_has_a_health_check_a_limit_and_an_end_of_its_log"),
        "beat: no health check",
    ),
    # on the real image, this and the next two: tests/stack/test_production.py, test_a_secret_in_an_image_is_caught
    "everything can get into the image": Defect(
        "template/.dockerignore",
        "\n*\n",
        "\n",
        STACK_FILES.format("test_no_file_but_those_that_run_can_get_into_the_image"),
        "secret/.env.production",
    ),
    "secrets can get into the image": Defect(
        "template/.dockerignore",
        "!/app\n",
        "!/app\n!/secret\n",
        STACK_FILES.format("test_no_file_but_those_that_run_can_get_into_the_image"),
        "secret/.env.production",
    ),
    "a secret is written into the image": Defect(
        "template/Dockerfile.jinja",
        "USER 10001:10001\n",
        "ENV FLOWER_PASSWORD=admin\nUSER 10001:10001\n",
        STACK_FILES.format("test_the_image_is_built_as_it_should_be"),
        "DL3064",
    ),
    "the image runs as root": Defect(
        "template/Dockerfile.jinja",
        "USER 10001:10001\n",
        "",
        STACK_FILES.format("test_the_image_is_built_as_it_should_be"),
        "no USER: is root, or may be",
    ),
    "a shell script does not see a failure": Defect(
        ".ci/run",
        'cd "$(dirname "$0")/.."\nexec',
        "cd $(dirname $0)/..\nexec",
        "tests/test_repository.py::test_each_shell_script_is_sound",
        "/.ci/run line 4",
    ),
    "help does not know a target of make": Defect(
        "template/Makefile.jinja",
        "down: ## Stop",
        "down: # Stop",
        "tests/test_repository.py::test_help_lists_each_target_of_make[service]",
        "'down'",
    ),
    "a page has a link to nothing": Defect(
        "README.md",
        "](docs/decisions)",
        "](docs/decision)",
        "tests/test_links.py::test_each_link_leads_somewhere[README.md]",
        "README.md: docs/decision",
    ),
    "a page names a target of make that is gone": Defect(
        "template/README.md.jinja",
        "make up ",
        "make upp ",
        "tests/test_links.py::test_the_pages_of_a_service_keep_the_same_promises[bare-sqlite]",
        "README.md: make upp",
    ),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return take_snapshot(tmp_path_factory.mktemp("seeded") / "repository")


@pytest.mark.parametrize("defect", SEEDED.values(), ids=SEEDED)
def test_a_defect_is_caught_and_named(repository: Path, tmp_path: Path, defect: Defect) -> None:
    with seeded(repository, defect):
        found = run_guards(repository, tmp_path, defect.guard)
    assert found.returncode == pytest.ExitCode.TESTS_FAILED, found.stdout
    assert defect.names in found.stdout, found.stdout


@pytest.mark.parametrize("place", ["tests/", "template/"])
def test_the_guards_are_green_where_nothing_is_wrong(repository: Path, tmp_path: Path, place: str) -> None:
    guards = sorted({defect.guard for defect in SEEDED.values() if defect.guard.startswith(place)})
    done = run_guards(repository, tmp_path, *guards)
    assert done.returncode == pytest.ExitCode.OK, done.stdout


@contextmanager
def seeded(repository: Path, defect: Defect) -> Iterator[None]:
    file = repository / defect.file
    sound = file.read_text()
    assert sound.count(defect.before) > 0, f"{defect.file} has changed; where would this defect be now?"
    file.write_text(sound.replace(defect.before, defect.after, 1))
    try:
        yield
    finally:
        file.write_text(sound)


def run_guards(repository: Path, folder: Path, *guards: str) -> "subprocess.CompletedProcess[str]":
    """What pytest says of them, in that repository or in a service with every room, rendered from it."""
    place = repository
    if guards[0].startswith("template/"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rendering, "snapshot", folder / "template")  # without Git: as it lies, defect and all
            shutil.copytree(repository, rendering.snapshot, ignore=shutil.ignore_patterns(".git"))
            place = render(folder / "service", **COMBINATIONS["examples-postgresql"])
        guards = tuple(guard.removeprefix("template/") for guard in guards)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *guards],
        cwd=place,
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
