"""Links that were sent by e-mail: the page that they lead to, and what it asks for."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.staticfiles import StaticFiles

from app.api.dependencies import SessionDep
from app.api.json_route import JsonRoute
from app.api.problems import REFUSED_BODY, problems
from app.api.routes.task_page import HEADERS
from app.core.strict_json import StrictJson
from app.models.email_tokens import EmailToken
from app.schemas.email_tokens import EmailTokenIn, EmailTokenOut
from app.services import email_tokens

router = APIRouter(tags=["users"], route_class=JsonRoute)

FILES = StaticFiles(directory=Path(__file__).parents[1] / "pages" / "email_tokens")


@router.post("/api/v1/email-tokens", response_model=EmailTokenOut, responses=problems(404, 503, *REFUSED_BODY))
async def redeem_email_token(body: Annotated[EmailTokenIn, StrictJson()], session: SessionDep) -> EmailToken:
    """Use up the token of a link. One that is unknown, used, or too old is a 404."""
    async with session.begin():
        return await email_tokens.redeem(session, body.token)


@router.api_route("/email-tokens", methods=["GET", "HEAD"], include_in_schema=False)
async def read_page(request: Request) -> Response:
    """It asks before it redeems anything: programs that look through mail open each link, too."""
    return await read_file(request, "index.html")


@router.api_route("/email-tokens/{name}", methods=["GET", "HEAD"], include_in_schema=False)
async def read_file(request: Request, name: str) -> Response:
    response = await FILES.get_response(name, request.scope)
    response.headers.update(HEADERS)
    return response
