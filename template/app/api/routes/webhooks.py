"""Webhooks that others send us, by https://www.standardwebhooks.com."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Request, Response, status
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from app.api.dependencies import SessionDep
from app.api.json_route import JsonRoute, read_json
from app.api.problems import problems
from app.core.config.webhooks import get_webhooks_settings
from app.core.task_outbox import enqueue_after_commit
from app.core.webhook_signature import SignatureError, verify
from app.schemas.webhooks import Webhook
from app.services import webhooks
from app.tasks.webhooks import handle

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"], responses=problems(503), route_class=JsonRoute)

BODY = {"required": True, "content": {"application/json": {"schema": Webhook.model_json_schema()}}}
EventId = Annotated[str, Header(alias="webhook-id", pattern=r"^[!-\-/-~]{1,200}$")]
"""Printable, and without a point, which separates it from the time in what is signed."""


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    response_class=Response,
    responses=problems(400, 401, 413, 422),
    openapi_extra={"requestBody": BODY},
)
async def receive_webhook(
    request: Request,
    session: SessionDep,
    event_id: EventId = "",
    timestamp: Annotated[str, Header(alias="webhook-timestamp")] = "",
    signatures: Annotated[str, Header(alias="webhook-signature")] = "",
) -> Response:
    """No key is needed: the signature is one. An event is taken once; when it comes again, the answer is the same."""
    settings = get_webhooks_settings()
    body = await _read(request)  # as it was sent: that is what is signed
    try:
        verify(settings.secret, event_id, timestamp, signatures, body, tolerance=settings.tolerance)
    except SignatureError as error:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, f"{error}.") from None
    event = _parse(body)
    async with session.begin():
        if await webhooks.receive(session, event_id, event.type, event.data):
            # in the same transaction: what was answered 202 is handled, also where Redis is away just now
            enqueue_after_commit(session, handle, event_id=event_id)
    return Response(status_code=status.HTTP_202_ACCEPTED)


async def _read(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The body ended early.") from None


def _parse(body: bytes) -> Webhook:
    try:
        return Webhook.model_validate(read_json(body))
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None
