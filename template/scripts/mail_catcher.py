"""A mail server for development, on port 1025: it delivers nothing, and prints every message. `make dev` starts it."""

import asyncio
from email import message_from_bytes, policy

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

HOST, PORT = "127.0.0.1", 1025


class Printer:
    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 (its name in aiosmtpd)
        message = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        text = message.get_body(("plain",))
        print(f"To: {message['To']}\nSubject: {message['Subject']}\n\n{text.get_content() if text else ''}", flush=True)
        return "250 OK"


async def main() -> None:
    controller = Controller(Printer(), hostname=HOST, port=PORT)
    controller.start()
    try:
        await asyncio.Event().wait()
    finally:
        controller.stop()


if __name__ == "__main__":
    asyncio.run(main())
