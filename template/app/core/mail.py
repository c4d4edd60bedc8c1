"""E-mail over SMTP. What may work the next time is told apart from what never will."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.message import EmailMessage

from aiosmtplib import SMTP, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from app.core.config.smtp import get_smtp_settings

PERMANENT = 500
"""From this reply on, trying again is of no use: https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1"""


class MailAwayError(Exception):
    """The server does not answer, or has said that it may take the message later."""


class MailRefusedError(Exception):
    """The server will never take this message, or does not let us in."""


class Mailer:
    """An open connection to the server."""

    def __init__(self, server: SMTP) -> None:
        self._server = server

    async def send(self, message: EmailMessage) -> None:
        """To its one recipient. After a MailRefusedError the connection serves on."""
        with _told_apart():
            await self._server.send_message(message)


@asynccontextmanager
async def open_mail() -> AsyncIterator[Mailer]:
    """Connect, encrypt and log in as the settings say; MailAwayError or MailRefusedError where that fails."""
    settings = get_smtp_settings()
    server = SMTP(
        hostname=settings.host,
        port=settings.port,
        use_tls=settings.security == "tls",
        start_tls=settings.security == "starttls",
        username=settings.username or None,
        password=settings.password or None,
        timeout=settings.timeout,
    )
    with _told_apart():
        await server.connect()
    try:
        yield Mailer(server)
    finally:
        server.close()


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except SMTPRecipientsRefused as error:
        raise _judged(error.recipients[0]) from error
    except SMTPResponseException as error:
        raise _judged(error) from error
    except (SMTPException, OSError) as error:
        raise MailAwayError(f"the mail server does not answer: {error}") from error


def _judged(answer: SMTPResponseException) -> Exception:
    said = f"{answer.code} {answer.message}"
    return MailRefusedError(said) if answer.code >= PERMANENT else MailAwayError(said)
