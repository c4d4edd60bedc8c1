"""Orders as a file of CSV: taken in, and what was wrong with its rows."""

from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter, HTTPException, Request, Response, status
from fastapi.responses import FileResponse

from app.api.body_limit import larger_bodies
from app.api.callers import CallerDep, OwnTask
from app.api.json_route import JsonRoute
from app.api.problems import REFUSED_BODY, problems
from app.api.queueing import enqueue
from app.api.task_schemas import answer_to_queueing
from app.core import stored_files
from app.core.config.files import get_files_settings
from app.core.task_message import NewTask
from app.schemas.tasks import QueuedTask
from app.services import order_import
from app.services.errors import NotFoundError
from app.tasks import imports

router = APIRouter(prefix="/api/v1/imports", tags=["imports"], responses=problems(401, 422, 503), route_class=JsonRoute)

larger_bodies[router.prefix] = get_files_settings().upload_limit

CSV: dict[str, Any] = {"text/csv": {"schema": {"type": "string", "format": "binary"}}}


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: answer_to_queueing(imports.orders), **problems(400, 429, *REFUSED_BODY)},
    openapi_extra={"requestBody": {"required": True, "content": CSV}},
)
async def import_orders(request: Request, response: Response, caller: CallerDep) -> QueuedTask:
    """The file is the body; its first line is `reference,email,total_cents,currency,ordered_at`, in any order."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "text/csv":
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "Send the file as the body, as text/csv.")
    file = uuid4()  # the task's id too: who owns the task may read what becomes of the file
    upload = order_import.upload_of(file)
    try:
        await stored_files.receive(request.stream(), upload)
        return await enqueue(
            NewTask(imports.orders, {"file": str(file)}, task_id=str(file), owner=caller.owner), response
        )
    except BaseException:
        stored_files.remove(upload)
        raise


@router.get(
    "/{task_id}/bad-rows",
    response_class=FileResponse,
    responses={200: {"content": CSV}, **problems(404)},
)
async def read_bad_rows(task: OwnTask) -> FileResponse:
    """The rows of a file that were not imported, each with its line and what is wrong with it."""
    report = order_import.bad_rows_of(UUID(task.task_id))
    if not report.exists():
        raise NotFoundError(f"There are no bad rows of the import {task.task_id}.")
    return FileResponse(report, media_type="text/csv", filename="bad-rows.csv")
