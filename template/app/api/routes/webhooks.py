"""Webhooks that others send us, by https://www.standardwebhooks.com."""

from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Request, Response, status

from app.api.dependencies import SessionDep
from app.api.json_route import JsonRoute
from app.api.problems import REFUSED_BODY, problems
from app.core.config.webhooks import get_webhooks_settings
from app.core.strict_json import StrictJson
from app.core.task_outbox import enqueue_after_commit
from app.core.webhook_signature import SignatureError, verify
from app.schemas.webhooks import Webhook
from app.services import webhooks
from app.tasks.webhooks import handle

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"], responses=problems(503), route_class=JsonRoute)

EventId = Annotated[str, Header(alias="webhook-id", pattern=r"^[!-\-/-~]{0,200}$")]
"""Printable, and without a point, which separates it from the time in what is signed.

`verify` refuses an empty one; older FastAPIs hold the default to the pattern too.
"""


@router.post(
    "", status_code=status.HTTP_202_ACCEPTED, response_class=Response, responses=problems(400, 401, *REFUSED_BODY)
)
async def receive_webhook(
    request: Request,
    event: Annotated[Webhook, StrictJson()],
    session: SessionDep,
    *,
    event_id: EventId = "",
    timestamp: Annotated[str, Header(alias="webhook-timestamp")] = "",
    signatures: Annotated[str, Header(alias="webhook-signature")] = "",
) -> Response:
    """No key is needed: the signature is one. An event is taken once; when it comes again, the answer is the same."""
    settings = get_webhooks_settings()
    body = await request.body()  # as it was sent, for that is what was signed
    try:
        verify(settings.secret, event_id, timestamp, signatures, body, tolerance=settings.tolerance)
    except SignatureError as error:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, f"{error}.") from None
    async with session.begin():
        if await webhooks.receive(session, event_id, event.type, event.data):
            # in the same transaction: what was answered 202 is handled, also where Redis is away just now
            enqueue_after_commit(session, handle, event_id=event_id)
    return Response(status_code=status.HTTP_202_ACCEPTED)
