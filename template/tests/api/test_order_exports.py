"""Exports of orders over HTTP."""

from collections.abc import Iterator
from uuid import uuid4

import httpx2
import pytest

from app.core import stored_files
from app.services import order_exports

EXPORTS = "/api/v1/order-exports"


@pytest.fixture(autouse=True)
def _no_exports() -> Iterator[None]:
    yield
    stored_files.remove(stored_files.folder("exports"))


async def test_an_export_is_read_by_its_link(shop: httpx2.AsyncClient) -> None:
    export_id = uuid4()
    (stored_files.folder("exports") / f"{export_id}.csv").write_text("reference\nA-1\n")
    answer = await shop.get(order_exports.link(export_id))
    assert (answer.status_code, answer.text) == (200, "reference\nA-1\n")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="orders-{export_id}.csv"'


async def test_an_export_that_is_not_there_is_a_404(shop: httpx2.AsyncClient) -> None:
    assert (await shop.get(f"{EXPORTS}/{uuid4()}")).status_code == 404


async def test_a_path_is_no_export(shop: httpx2.AsyncClient) -> None:
    assert (await shop.get(f"{EXPORTS}/..%2F.gitignore")).status_code in (404, 422)
    assert (await shop.get(f"{EXPORTS}/orders")).status_code == 422


async def test_exports_are_not_for_strangers(client: httpx2.AsyncClient) -> None:
    assert (await client.get(f"{EXPORTS}/{uuid4()}")).status_code == 401
