"""E-mail over SMTP. What may work the next time is told apart from what never will."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from aiosmtplib import SMTP, SMTPException, SMTPRecipientsRefused, SMTPResponseException, SMTPStatus

from app.core.config.smtp import get_smtp_settings

PERMANENT = 500
"""From this reply on, trying again is of no use: https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1"""


class MailAwayError(Exception):
    """The server does not answer, or has said that it may take the message later."""


class MailPutOffError(MailAwayError):
    """The server may take this one message later; the connection serves on for others."""


class MailRefusedError(Exception):
    """The server will never take this message, or does not let us in."""


def new_message(to: str, subject: str) -> EmailMessage:
    """From this service; its text is still to be set."""
    sender = get_smtp_settings().sender
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # no answering machine answers: RFC 3834
    return message


class Mailer:
    """An open connection to the server."""

    def __init__(self, server: SMTP) -> None:
        self._server = server

    async def send(self, message: EmailMessage) -> None:
        """To its one recipient. After a MailPutOffError or a MailRefusedError the connection serves on."""
        with _told_apart(recipient=message["To"]):
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
    try:
        with _told_apart():
            await server.connect()
        yield Mailer(server)
        with suppress(SMTPException):  # what it has taken, it has taken
            await server.quit()
    finally:
        server.close()


@contextmanager
def _told_apart(recipient: str | None = None) -> Iterator[None]:
    try:
        yield
    except SMTPRecipientsRefused as error:
        raise _judged(error.recipients[0], recipient) from None  # it names the recipient, and is logged
    except SMTPResponseException as error:
        raise _judged(error, recipient) from None
    except OSError as error:
        raise MailAwayError(f"the mail server does not answer: {error}") from error
    except SMTPException as error:  # it cannot do what it is asked for: encrypt, log in, take such an address
        raise MailRefusedError(str(error)) from None


def _judged(answer: SMTPResponseException, recipient: str | None) -> Exception:
    said = f"{answer.code} {answer.message}"
    if recipient:
        said = said.replace(recipient, "the recipient")
    if answer.code >= PERMANENT:
        return MailRefusedError(said)
    return MailAwayError(said) if answer.code == SMTPStatus.domain_unavailable else MailPutOffError(said)
