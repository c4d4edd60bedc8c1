"""Exports of orders, which tasks have written."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import FileResponse

from app.api.callers import CallerDep
from app.api.problems import problems
from app.services import order_exports

router = APIRouter(prefix="/api/v1/order-exports", tags=["order exports"], responses=problems(401, 503))

CSV = {"schema": {"type": "string", "format": "binary"}}


@router.get(
    "/{export_id}",
    response_class=FileResponse,
    responses={200: {"content": {"text/csv": CSV}}, **problems(404, 422)},
)
async def read_export(export_id: UUID, _caller: CallerDep) -> FileResponse:
    """The file, once its task has ended."""
    return FileResponse(order_exports.find(export_id), media_type="text/csv", filename=f"orders-{export_id}.csv")
