"""The pages in docs/ are followed as a reader would: each command is run, each file is written and used."""

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reference
import rendering
from documents import Block, Reader, read_blocks
from manifest import QUESTIONS, choices
from rendering import PYTHON_VERSION, ROOMS, ROOT, environment
from servers import HOST, free_port

DOCS = ROOT / "docs"
FROM_NOTHING = (
    "tutorial.md",
    "reference/questions.md",
    "from-an-existing-celery-project.md",
    "from-another-template.md",
)
IN_A_SERVICE = {"how-to/tasks.md": "celery", "how-to/production.md": "celery", "how-to/rooms-and-updates.md": "bare"}
"""With these rooms."""


def typed() -> dict[str, str]:
    """What is typed here in place of what a page says: this template, and ports that are free on this machine."""
    copier = f"{sys.executable} -m copier"
    api, redis = free_port(), free_port()
    return {
        "uvx copier copy --defaults": f"{copier} copy --quiet --defaults",
        "uvx copier copy": f"{copier} copy --quiet --defaults",
        "gh:OWNER/fastapi-celery-template": f"--vcs-ref HEAD -d python_version={PYTHON_VERSION} {rendering.snapshot}",
        "uvx copier update --vcs-ref :current:": f"{copier} update --quiet --defaults --vcs-ref :current:",
        "uvx copier update": f"{copier} update --quiet --defaults --vcs-ref HEAD",
        "make dev": f"perl -pi -e 's/8000/{api}/; s/6379/{redis}/' Procfile secret/.env.development && make dev",
        "127.0.0.1:8000": f"{HOST}:{api}",
        "127.0.0.1:6379": f"{HOST}:{redis}",
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


def pages() -> dict[str, list[Block]]:
    """Those that have something to follow."""
    read = {str(page.relative_to(DOCS)): list(read_blocks(page)) for page in sorted(DOCS.rglob("*.md"))}
    return {name: blocks for name, blocks in read.items() if blocks and not name.startswith("decisions/")}


def test_each_page_is_followed_by_a_test() -> None:
    assert set(pages()) == {*FROM_NOTHING, *IN_A_SERVICE}


@pytest.mark.parametrize(
    "page",
    [
        "```console\nfalse\n```",
        "```console\ncurl --head file:///dev/null # 202\n```",
        "```console\necho one\n```\n```text\ntwo\n```",
        "```python\nprint()\n```",
        "Change `notes.txt`:\n```diff\n-what is not there\n```",
    ],
)
def test_a_page_that_is_wrong_is_noticed_and_the_line_named(reader: Reader, tmp_path: Path, page: str) -> None:
    (reader.folder / "notes.txt").write_text("what is there\n")
    wrong = tmp_path / "wrong.md"
    wrong.write_text(f"# Wrong\n\n{page}\n")
    with pytest.raises(AssertionError) as error:
        reader.follow(wrong)
    assert error.value.__notes__[0].startswith("wrong.md, line ")


def test_few_blocks_are_not_run_and_each_has_its_reason() -> None:
    reasons = Counter(block.not_run for blocks in pages().values() for block in blocks if block.not_run)
    assert reasons == {"needs Docker": 4, "it is how the task was before": 1}


@pytest.mark.slow
@pytest.mark.parametrize("page", FROM_NOTHING)
def test_each_page_can_be_followed_from_nothing(reader: Reader, page: str) -> None:
    reader.follow(DOCS / page)


@pytest.mark.slow
@pytest.mark.parametrize("page", IN_A_SERVICE)
def test_each_page_can_be_followed_in_a_service(reader: Reader, page: str) -> None:
    begin_in_a_service(reader, **ROOMS[IN_A_SERVICE[page]])
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
