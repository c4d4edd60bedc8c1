"""The files of monthly reports, to be downloaded."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse

from app.api.callers import CallerDep
from app.api.problems import problems
from app.services import monthly_report
from app.services.monthly_report import Kind

router = APIRouter(prefix="/api/v1/reports", tags=["reports"], responses=problems(401, 422, 503))

MEDIA_TYPES = {"pdf": "application/pdf", "csv": "text/csv"}
MonthOfReport = Annotated[str, Path(pattern=r"^[0-9]{4}-[0-9]{2}$", examples=["2026-10"])]


@router.get(
    "/{month}.{kind}",
    response_class=FileResponse,
    responses={200: {"content": {media_type: {} for media_type in MEDIA_TYPES.values()}}, **problems(404)},
)
async def read_report(month: MonthOfReport, kind: Kind, _caller: CallerDep) -> FileResponse:
    """The report that `reports.monthly` has written."""
    path = monthly_report.find(month, kind)
    return FileResponse(path, media_type=MEDIA_TYPES[kind], filename=f"report-{month}.{kind}")
