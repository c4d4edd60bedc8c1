"""The pages in docs/ are followed as a reader would: each command is run, each file is written and used."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reference
import rendering
from documents import Reader, read_blocks
from manifest import QUESTIONS, choices
from rendering import PYTHON_VERSION, ROOMS, ROOT, environment
from servers import HOST, free_port

DOCS = ROOT / "docs"


def typed() -> dict[str, str]:
    """What is typed here in place of what a page says: this template, and ports that are free on this machine."""
    copier = f"{sys.executable} -m copier"
    api, redis = free_port(), free_port()
    return {
        "uvx copier copy gh:OWNER/fastapi-celery-template": f"{copier} copy --quiet --defaults --vcs-ref HEAD "
        f"--data python_version={PYTHON_VERSION} {rendering.snapshot}",
        "uvx copier update --vcs-ref :current:": f"{copier} update --quiet --defaults --vcs-ref :current:",
        "uvx copier update": f"{copier} update --quiet --defaults --vcs-ref HEAD",
        "make dev": f"perl -pi -e 's/8000/{api}/; s/6379/{redis}/' Procfile secret/.env.development && make dev",
        "127.0.0.1:8000": f"{HOST}:{api}",
    }


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """In an empty folder."""
    folder = tmp_path / "mein schöner ordner"
    folder.mkdir()
    isolated = {name: value for name, value in os.environ.items() if name.startswith(("COPIER_", "GIT_"))}
    variables = environment(folder, **isolated)
    variables.pop("CI", None)  # a reader's machine has no servers for the service's own tests
    with Reader(folder, variables, typed()) as reader:
        yield reader


def begin_in_a_service(reader: Reader, **answers: Any) -> None:
    rendering.render(reader.folder / "my-service", **answers)
    for command in ("cd my-service", "git init --quiet", "git add .", "git commit --quiet -m Start"):
        reader.type(command)


@pytest.mark.slow
def test_the_tutorial_leads_to_a_task_of_ones_own(reader: Reader) -> None:
    reader.follow(DOCS / "tutorial.md")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "begins_with"),
    [("how-to/tasks.md", "celery"), ("how-to/production.md", "celery"), ("how-to/rooms-and-updates.md", "bare")],
)
def test_each_page_can_be_followed_in_a_service(reader: Reader, page: str, begins_with: str) -> None:
    begin_in_a_service(reader, **ROOMS[begins_with])
    reader.follow(DOCS / page)


def test_the_reference_lists_the_files_that_are_rendered() -> None:
    assert reference.PAGE.read_text() == reference.page(), "files came, went or changed: `make reference`"


@pytest.mark.parametrize("name", reference.COUNTED)
def test_what_the_readme_counts_is_there_give_or_take_a_twentieth(name: str) -> None:
    row = re.search(rf"^\| {name} \| (\d.*) \|$", reference.README.read_text(), re.MULTILINE)
    assert row
    told = [int(number.replace(",", "")) for number in row[1].split(" | ")]
    assert told == pytest.approx(reference.count(reference.COUNTED[name]), rel=0.05), "`make reference`"


def test_each_question_and_each_choice_is_explained() -> None:
    page = (DOCS / "reference" / "questions.md").read_text()
    named = set(re.findall(r"`([^`]+)`", page))
    for question in QUESTIONS:
        assert {question, *map(str, choices(question))} - {"True", "False"} <= named, question
