"""A payment provider for development and tests, on port 8090: it takes no money. `make dev` starts it.

`POST /charges` with an `Idempotency-Key` is charged once, and answered alike each time. The last three digits of the
amount say how it goes: see `_outcome`.
"""

import json
import sys
import uuid
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

from app.core.config.payments import get_payments_settings

HOST, PORT = "127.0.0.1", 8090


class Provider(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int = PORT, host: str = HOST) -> None:
        super().__init__((host, port), Handler)
        self.asked: list[str] = []
        """The keys, in the order in which they came."""
        self.charges: dict[str, dict[str, Any]] = {}
        """By key, what was paid."""
        self.lock = Lock()


class Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/charges" or "Idempotency-Key" not in self.headers:
            return self._answer(HTTPStatus.NOT_FOUND, {"error": "POST /charges with an Idempotency-Key"})
        if self.headers["Authorization"] != f"Bearer {get_payments_settings().key}":
            return self._answer(HTTPStatus.UNAUTHORIZED, {"error": "the key is not known here"})
        return self._charge(self.headers["Idempotency-Key"], wanted)

    def _charge(self, key: str, wanted: dict[str, Any]) -> None:
        with self.server.lock:
            first = key not in self.server.asked
            self.server.asked.append(key)
            outcome = _outcome(wanted["amount"] % 1000, first=first)
            if outcome in (HTTPStatus.OK, HTTPStatus.GATEWAY_TIMEOUT):
                self.server.charges.setdefault(key, {"id": f"ch_{uuid.uuid4().hex}", **wanted})
        if outcome == HTTPStatus.OK:
            self._answer(outcome, self.server.charges[key])
        elif outcome == HTTPStatus.GATEWAY_TIMEOUT:
            self.rfile.read(1)  # until the caller hangs up
        elif outcome in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            self._answer(outcome, {"error": outcome.phrase}, {"Retry-After": "0"})
        else:
            self._answer(outcome, {"error": outcome.phrase})

    def _answer(self, status: HTTPStatus, said: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "Content-Type": "application/json",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _outcome(digits: int, *, first: bool) -> HTTPStatus:
    if digits in (402, 422, 500, 503):  # declined, not understood, broken, away: each time
        return HTTPStatus(digits)
    if digits in (429, 504) and first:  # too many requests; paid, but the answer is lost
        return HTTPStatus(digits)
    return HTTPStatus.OK


if __name__ == "__main__":
    with Provider(host=sys.argv[1] if sys.argv[1:] else HOST) as provider:
        provider.serve_forever()
