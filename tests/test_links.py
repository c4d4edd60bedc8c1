"""Pages, of this repository and of what it renders: their links lead somewhere, what they name as code is there."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rendering import ROOT, list_files

MARKDOWN = MarkdownIt("commonmark").enable("table")
TARGET = re.compile(r"^([\w-]+):(?!=)", re.MULTILINE)
NAMED_TARGET = re.compile(r"(?:^|&& |; )make ([a-z][\w-]*)", re.MULTILINE)
NAMED_MODULE = re.compile(r"-m ((?:app|scripts|chaos)(?:\.\w+)*)")
NAMED_SCRIPT = re.compile(r"(?<![\w/.-])((?:benchmarks|chaos|hooks|scripts)/[\w-]+\.\w+|\.ci/\w+)")

OF_OTHERS = {"scripts/prestart.sh"}
"""Named where other templates are spoken of."""


@dataclass(frozen=True)
class Tree:
    """A folder with pages in it: this repository, or a service."""

    folder: Path
    names: frozenset[str]

    def pages(self) -> list[str]:
        return sorted(name for name in self.names if name.endswith(".md"))

    def has(self, name: str) -> bool:
        return any(name in (other, ".") or other.startswith(f"{name}/") for other in self.names)


def repository() -> Tree:
    return Tree(ROOT, frozenset(list_files()))


def rendered_from(folder: Path) -> Tree:
    return Tree(folder, frozenset(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))


REPOSITORY = repository()
PAGES = [page for page in REPOSITORY.pages() if not page.startswith("template/")]
"""The others are read as they are rendered."""


@pytest.mark.parametrize("page", PAGES)
def test_each_link_leads_somewhere(page: str) -> None:
    broken = broken_links(REPOSITORY, page)
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("page", PAGES)
def test_each_command_and_script_that_a_page_names_is_there(page: str, rendered: Callable[[str], Path]) -> None:
    # these pages tell of a service, too
    missing = what_is_not_there(page, REPOSITORY, rendered_from(rendered("examples-postgresql")))
    assert not missing, "\n".join(missing)


def test_the_pages_of_a_service_keep_the_same_promises(one_of_each_room: Path) -> None:
    service = rendered_from(one_of_each_room)
    assert "README.md" in service.pages()
    faults = [
        fault for page in service.pages() for fault in broken_links(service, page) + what_is_not_there(page, service)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("[a](gone.md)", "gone.md"),
        ("[a](#gone)", "#gone"),
        ("[a](b.md#gone)", "b.md#gone"),
        ("[a][b]\n\n[b]: gone/", "gone/"),
        ("![a](gone.png)", "gone.png"),
        ("[a](/b.md)", "/b.md"),
        ("[a](../b.md)", "../b.md"),
        ("[a](http://example.org)", "http://example.org"),
        ("[a](https://example)", "https://example"),
        ("[a](htps://example.org)", "htps://example.org"),
    ],
)
def test_a_link_that_leads_nowhere_is_caught(tmp_path: Path, text: str, link: str) -> None:
    good = "[a](b.md#two-words) [a](b.md#two-words-1) [a](#here) [a](https://example.org/x) <http://127.0.0.1:8000>"
    (tmp_path / "a.md").write_text(f"# Here\n\n{good}\n\n{text}\n")
    (tmp_path / "b.md").write_text("# Two `words`?\n\n## Two words\n")
    assert broken_links(Tree(tmp_path, frozenset({"a.md", "b.md"})), "a.md") == [f"a.md: {link}"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("`make gone`", "make gone"),
        ("```console\nmake gone x=1\n```", "make gone"),
        ("`python -m scripts.gone`", "scripts.gone"),
        ("`scripts/gone.py`", "scripts/gone.py"),
    ],
)
def test_code_that_is_not_there_is_caught(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "Makefile").write_text("there: ## It is\n\ttrue\n")
    good = "`make there`, `scripts/there.py`, `python -m scripts.there`, and what they make of it."
    (tmp_path / "a.md").write_text(f"{good}\n\n{text}\n")
    tree = Tree(tmp_path, frozenset({"Makefile", "a.md", "scripts/there.py"}))
    assert what_is_not_there("a.md", tree) == [f"a.md: {name}"]


def broken_links(tree: Tree, page: str) -> list[str]:
    """Each with its page. Of a link to elsewhere it is only said whether it looks like one."""
    links = [str(token.attrs[key]) for token in tokens(tree, page) for key in ("href", "src") if key in token.attrs]
    return [f"{page}: {link}" for link in links if not leads_somewhere(tree, page, link)]


def leads_somewhere(tree: Tree, page: str, link: str) -> bool:
    address = urlsplit(link)
    if address.scheme or address.netloc:
        if address.hostname == "127.0.0.1":
            return address.scheme == "http"
        return address.scheme == "https" and "." in (address.hostname or "")
    path = (tree.folder / page).parent / unquote(address.path) if address.path else tree.folder / page
    root, path = tree.folder.resolve(), path.resolve()
    if link.startswith("/") or not path.is_relative_to(root):
        return False
    name = str(path.relative_to(root))
    return tree.has(name) and (not address.fragment or address.fragment in anchors(tree, name))


def anchors(tree: Tree, page: str) -> set[str]:
    """What GitHub makes of the headings."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    parsed = MARKDOWN.parse((tree.folder / page).read_text())
    for opening, heading in pairwise(parsed):
        if opening.type == "heading_open":
            title = "".join(child.content for child in heading.children or ())
            slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


def what_is_not_there(page: str, tree: Tree, *others: Tree) -> list[str]:
    """Targets of make, modules and scripts that the page names as code, each with the page, that no tree has."""
    trees = (tree, *others)
    targets = {target for each in trees for target in TARGET.findall((each.folder / "Makefile").read_text())}
    code = "\n".join(token.content for token in tokens(tree, page) if token.type in {"code_inline", "fence"})
    paths = {name: name.replace(".", "/") for name in NAMED_MODULE.findall(code)}
    paths |= {name: name for name in NAMED_SCRIPT.findall(code) if name not in OF_OTHERS}
    return [f"{page}: make {target}" for target in NAMED_TARGET.findall(code) if target not in targets] + [
        f"{page}: {name}"
        for name, path in paths.items()
        if not any(each.has(path) or each.has(f"{path}.py") for each in trees)
    ]


def tokens(tree: Tree, page: str) -> Iterator[Token]:
    for token in MARKDOWN.parse((tree.folder / page).read_text()):
        yield token
        yield from token.children or ()
