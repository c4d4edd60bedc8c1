"""Calls to services of others over HTTP. What may work the next time is told apart from what never will."""

from collections.abc import Mapping

import httpx2
from celery.utils.time import get_exponential_backoff_interval

TRY_AGAIN = (408, 409, 425, 429)
"""Of the answers 4xx, those that pass: too slow, the same request is still worked on, too early, too many."""
LONGEST_PAUSE = 300


class CalleeAwayError(Exception):
    """It does not answer, is broken, or asks to be called again later."""

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def pause(self, retries: int) -> int:
        """Seconds: as many as were asked for, or else by chance out of a span that doubles with each try."""
        if self.retry_after is not None:
            return min(self.retry_after, LONGEST_PAUSE)
        return get_exponential_backoff_interval(factor=1, retries=retries, maximum=LONGEST_PAUSE, full_jitter=True)


class CalleeRefusedError(Exception):
    """It would answer the same each time."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


async def post(url: str, *, body: bytes, headers: Mapping[str, str], patience: float) -> httpx2.Response:
    """The answer, if it is one of success; else CalleeAwayError or CalleeRefusedError, which do not quote it."""
    host = httpx2.URL(url).host
    timeouts = httpx2.Timeout(connect=patience, read=patience, write=patience, pool=patience)
    try:
        # a redirect could lead anywhere, also into our own network
        async with httpx2.AsyncClient(timeout=timeouts, follow_redirects=False) as client:
            answer = await client.post(url, content=body, headers={"Content-Type": "application/json", **headers})
    except httpx2.RequestError as error:
        raise CalleeAwayError(f"{host} does not answer: {type(error).__name__}") from error
    if answer.is_success:
        return answer
    message = f"{host} answered {answer.status_code} {answer.reason_phrase}"
    if answer.is_server_error or answer.status_code in TRY_AGAIN:
        raise CalleeAwayError(message, _retry_after(answer))
    raise CalleeRefusedError(message, answer.status_code)


def _retry_after(answer: httpx2.Response) -> int | None:
    """Only where it is a number: a date is rare, and needs clocks that agree."""
    seconds = answer.headers.get("Retry-After", "")
    return int(seconds) if seconds.isdecimal() and len(seconds) < 10 else None  # noqa: PLR2004 (digits)
