"""The files of monthly reports over HTTP."""

import csv
import io
from collections.abc import Iterator

import httpx2
import pytest

from app.core import stored_files
from app.services import monthly_report
from app.services.monthly_report import Figures

REPORTS = "/api/v1/reports"


@pytest.fixture(autouse=True)
def _one_report() -> Iterator[None]:
    monthly_report.write(Figures(3, {}, {}), "2026-10")
    yield
    stored_files.remove(stored_files.folder("reports"))


async def test_the_csv_can_be_downloaded(shop: httpx2.AsyncClient) -> None:
    answer = await shop.get(f"{REPORTS}/2026-10.csv")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="report-2026-10.csv"'
    assert next(row for row in csv.DictReader(io.StringIO(answer.text)))["count"] == "3"


async def test_the_pdf_can_be_downloaded(shop: httpx2.AsyncClient) -> None:
    answer = await shop.get(f"{REPORTS}/2026-10.pdf")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="report-2026-10.pdf"'
    assert answer.content.startswith(b"%PDF-")


async def test_a_report_that_was_not_written_is_a_404_that_says_how_to_have_it(shop: httpx2.AsyncClient) -> None:
    answer = await shop.get(f"{REPORTS}/2026-09.pdf")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "reports.monthly" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["2026-1.pdf", "2026-10.txt", "2026.pdf", "..%2F2026-10.pdf", "2026-10%0A.pdf"])
async def test_what_is_no_report_is_refused(shop: httpx2.AsyncClient, name: str) -> None:
    answer = await shop.get(f"{REPORTS}/{name}")
    assert answer.status_code in (404, 422)
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_report_needs_a_key(client: httpx2.AsyncClient) -> None:
    assert (await client.get(f"{REPORTS}/2026-10.csv")).status_code == 401
