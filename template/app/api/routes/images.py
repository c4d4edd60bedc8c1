"""Images: taken in, and given out in several sizes."""

from uuid import UUID, uuid4

from fastapi import APIRouter, HTTPException, Request, Response, status
from fastapi.responses import FileResponse

from app.api.body_limit import larger_bodies
from app.api.callers import CallerDep
from app.api.json_route import JsonRoute
from app.api.problems import REFUSED_BODY, problems
from app.api.queueing import enqueue
from app.api.task_schemas import answer_to_queueing
from app.core.config.files import get_files_settings
from app.core.task_message import NewTask
from app.schemas.tasks import QueuedTask
from app.services import images
from app.services.images import Size
from app.tasks.images import resize

router = APIRouter(prefix="/api/v1/images", tags=["images"], responses=problems(401, 503), route_class=JsonRoute)

larger_bodies[router.prefix] = get_files_settings().image_limit

BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses={202: answer_to_queueing(resize), **problems(400, 429, *REFUSED_BODY)},
    openapi_extra={"requestBody": {"required": True, "content": {"image/*": BINARY}}},
)
async def send_image(request: Request, response: Response, caller: CallerDep) -> QueuedTask:
    """Send an image as the body; the id of its task is its own id too."""
    if not request.headers.get("Content-Type", "").lower().startswith("image/"):
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "Send the image as the body, as image/*.")
    image_id = uuid4()
    try:
        if not await images.receive(image_id, request.stream()):
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "The body is empty; send the image as the body.")
        new = NewTask(resize, {"image_id": str(image_id)}, task_id=str(image_id), owner=caller.owner)
        return await enqueue(new, response)
    except BaseException:
        images.remove(image_id)  # nobody would look at it
        raise


@router.get(
    "/{image_id}/{size}",
    response_class=FileResponse,
    responses={200: {"content": {"image/webp": BINARY}}, **problems(404, 422)},
)
async def read_image(image_id: UUID, size: Size, _caller: CallerDep) -> FileResponse:
    """One size of an image, once its task has ended."""
    headers = {"X-Content-Type-Options": "nosniff"}
    return FileResponse(images.find(image_id, size), media_type="image/webp", headers=headers)
