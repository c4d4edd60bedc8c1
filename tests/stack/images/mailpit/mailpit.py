#!/usr/bin/python3
"""A mail catcher with as much of Mailpit's contract as is used here: https://mailpit.axllent.org/docs/api-v1/."""

import json
import signal
import sys
import urllib.request
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

SMTP_PORT, HTTP_PORT = 1025, 8025
EVERYWHERE = "0.0.0.0"  # noqa: S104 (of its container)
HEALTH = ("/livez", "/readyz")
inbox: dict[str, EmailMessage] = {}


class Keeper:
    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 (its name in aiosmtpd)
        inbox[uuid4().hex] = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        return "250 OK"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        message_id = self.path.removeprefix("/api/v1/message/")
        if self.path in HEALTH:
            self._answer("ok")
        elif self.path == "/api/v1/messages":
            newest_first = [_summary(one, inbox[one]) for one in reversed(inbox)]
            self._answer({"total": len(inbox), "messages": newest_first})
        elif message := inbox.get(message_id):
            self._answer(
                _summary(message_id, message) | {"Text": _body(message, "plain"), "HTML": _body(message, "html")}
            )
        else:
            self.send_error(404)

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Health checks are no news."""


def _summary(message_id: str, message: EmailMessage) -> dict[str, Any]:
    return {
        "ID": message_id,
        "From": _addresses(message, "From")[0],
        "To": _addresses(message, "To"),
        "Subject": message["Subject"],
    }


def _addresses(message: EmailMessage, header: str) -> list[dict[str, str]]:
    return [{"Name": one.display_name, "Address": one.addr_spec} for one in message[header].addresses]


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part else ""


def main() -> None:
    if sys.argv[1:] == ["readyz"]:
        urllib.request.urlopen(f"http://127.0.0.1:{HTTP_PORT}/readyz", timeout=2).close()
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    Controller(Keeper(), hostname=EVERYWHERE, port=SMTP_PORT).start()
    ThreadingHTTPServer((EVERYWHERE, HTTP_PORT), Handler).serve_forever()


if __name__ == "__main__":
    main()
