"""The page at /tasks/ui: its files as they are served. What it does, a browser would have to say."""

import re

import httpx2
import pytest

from app.api.routes.task_page import FOLDER
from app.main import app

PAGE = "/tasks/ui"
TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
NAMES = sorted(path.name for path in FOLDER.iterdir())


def address(name: str) -> str:
    return PAGE if name == "index.html" else f"{PAGE}/{name}"


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_is_served_as_what_it_is_to_anybody(client: httpx2.AsyncClient, name: str) -> None:
    answer = await client.get(address(name))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == TYPES[name[name.rindex(".") :]]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (await client.head(address(name))).headers["Content-Length"] == str(len(answer.content))


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_is_loaded_again_only_if_it_has_changed(client: httpx2.AsyncClient, name: str) -> None:
    first = await client.get(address(name))
    assert first.headers["Cache-Control"] == "no-cache"
    again = await client.get(address(name), headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "no-cache"
    changed = await client.get(address(name), headers={"If-None-Match": '"another"'})
    assert (changed.status_code, changed.content) == (200, first.content)


async def test_the_policy_lets_nothing_run_but_the_pages_own_files(client: httpx2.AsyncClient) -> None:
    directives = (await client.get(PAGE)).headers["Content-Security-Policy"].split("; ")
    assert "default-src 'self'" in directives
    assert "frame-ancestors 'none'" in directives
    assert "require-trusted-types-for 'script'" in directives
    assert not re.search(r"unsafe|\*|http|data:", " ".join(directives))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_holds_nothing_that_the_policy_forbids(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! type=\"module\" src=\"ui/)", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|localStorage", text)


async def test_all_that_the_page_loads_comes_from_beside_it(client: httpx2.AsyncClient) -> None:
    page = (await client.get(PAGE)).text
    loaded = set(re.findall(r'<(?:link|script)[^>]* (?:href|src)="ui/([^"]+)"', page))
    for name in [name for name in NAMES if name.endswith(".js")]:
        imported = re.findall(r'^import .* from "\./([^"]+)";$', (await client.get(address(name))).text, re.MULTILINE)
        loaded |= set(imported)
    assert loaded == set(NAMES) - {"index.html"}


@pytest.mark.parametrize(
    "path",
    [
        "/nothing.js",
        "/..%2f..%2froutes%2ftask_page.py",
        "/..%2f..%2froutes",
        "/..%5c..%5croutes%5ctask_page.py",
        "/%2e%2e",
        "/%2fetc%2fpasswd",
        "/%00",
        "/tasks.js%00.css",
        "/tasks/tasks.js",
        f"/{'a' * 5000}",
    ],
)
async def test_nothing_else_is_served(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.get(f"{PAGE}{path}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_it_takes_nothing(client: httpx2.AsyncClient, method: str) -> None:
    for path in (PAGE, f"{PAGE}/tasks.js"):
        assert (await client.request(method, path)).status_code == 405


def test_it_is_no_part_of_the_api() -> None:
    assert not [path for path in app.openapi()["paths"] if path.startswith(PAGE)]
