"""A page for people: their tasks, as the task API tells them. Its files lie in `app/api/pages/tasks`."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.staticfiles import StaticFiles

router = APIRouter(prefix="/tasks/ui", include_in_schema=False)

FOLDER = Path(__file__).parents[1] / "pages" / "tasks"
FILES = StaticFiles(directory=FOLDER)
HEADERS = {
    "Cache-Control": "no-cache",  # kept, and asked for again: after a deployment no old script meets a new page
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
        "require-trusted-types-for 'script'"  # no text can become markup, whatever a task returns
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.api_route("", methods=["GET", "HEAD"])
async def read_page(request: Request) -> Response:
    """Needs no key: it holds no task. It asks for the key where the API does."""
    return await read_file(request, "index.html")


@router.api_route("/{name}", methods=["GET", "HEAD"])
async def read_file(request: Request, name: str) -> Response:
    response = await FILES.get_response(name, request.scope)
    response.headers.update(HEADERS)
    return response
