"""The cookbook's pages quote what is there, name what is there, and are followed in a running service."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from documents import Block, Reader, read_blocks
from rendering import COMBINATIONS, ROOT, environment, install, render
from servers import HOST, free_port

COOKBOOK = ROOT / "template" / "docs" / "cookbook"
LISTED = re.findall(r"^\| \[.+\]\((.+\.md)\) \|", (COOKBOOK / "README.md").read_text(), re.MULTILINE)
PAGES = [page for page in LISTED if (COOKBOOK / page).exists()]
"""In the order in which they are listed."""
PORTS = ("8000", "6379", "1025", "8090")
"""Of the API, Redis, the mail catcher and the payment provider; here each gets one that is free."""


def is_quoted(block: Block) -> bool:
    """Code of the service, which is there to be read; a file that the service does not have is one to write."""
    new = block.file and not (COOKBOOK.parents[1] / block.file).exists()
    return block.kind in {"python", "jinja", "html"} and not new


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """In a service that `make dev` runs, with its mail catcher and its payment provider."""
    service = render(tmp_path_factory.mktemp("mein schöner") / "service", **COMBINATIONS["examples-sqlite"])
    install(service)
    ports = {port: str(free_port()) for port in PORTS}
    moved = "; ".join(f"s/{old}/{new}/" for old, new in ports.items())
    instead = {
        "make dev": f"perl -pi -e '{moved}' Procfile secret/.env.development scripts/*.py && make dev",
        **{f"127.0.0.1:{old}": f"{HOST}:{new}" for old, new in ports.items()},
    }
    isolated = {name: value for name, value in os.environ.items() if name.startswith(("COPIER_", "GIT_"))}
    variables = environment(service, **isolated)
    variables.pop("CI", None)
    with Reader(service, variables, instead) as reader:
        reader.type("make dev")
        yield reader


def test_each_page_is_listed_and_each_that_is_listed_is_there() -> None:
    assert sorted(LISTED) == sorted(page.name for page in COOKBOOK.glob("*.md") if page.name != "README.md")


@pytest.mark.parametrize("page", PAGES)
def test_code_that_a_page_quotes_is_in_the_service(page: str, rendered: Callable[[str], Path]) -> None:
    service = rendered("examples-sqlite")
    sources = [path.read_text() for path in service.rglob("*") if path.suffix in {".py", ".jinja", ".html"}]
    quoted = [block for block in read_blocks(COOKBOOK / page) if is_quoted(block)]
    assert quoted, "it shows no code"
    for block in quoted:
        parts = re.split(r"^ *\.\.\.\n", block.text, flags=re.MULTILINE)
        assert any(all(part.strip("\n") in source for part in parts) for source in sources), f"line {block.line}"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_ends_with_the_files_that_are_its_own(page: str, rendered: Callable[[str], Path]) -> None:
    last = (COOKBOOK / page).read_text().strip().rpartition("\n\n")[2]
    named = set(re.findall(r"`([\w./-]+/[\w.-]+)`", last)) | {
        os.path.normpath(Path("docs/cookbook") / link) for link in re.findall(r"\]\(([^)]+)\)", last)
    }
    missing = {name for name in named if not (rendered("examples-sqlite") / name).exists()}
    assert named, "the last paragraph names no file"
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed_in_a_running_service(reader: Reader, page: str) -> None:
    reader.follow(COOKBOOK / page, but=is_quoted)
