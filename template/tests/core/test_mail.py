"""E-mail over real SMTP: encrypted, logged in, taken, put off, refused."""

import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from app.core.config.base import SettingsError, load
from app.core.config.smtp import SmtpSettings, get_smtp_settings
from app.core.mail import MailAwayError, MailPutOffError, MailRefusedError, open_mail
from tests.fixtures.examples import HOST, MailServer, free_port

Set = Callable[..., None]


@pytest.fixture
def smtp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
    """Changes settings."""

    def change(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"SMTP_{name}".upper(), str(value))
        get_smtp_settings.cache_clear()

    yield change
    get_smtp_settings.cache_clear()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of a server on this machine, by an authority that this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    return context


def ada_only(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
    right = isinstance(given, LoginPassword) and (given.login, given.password) == (b"ada", b"secret")
    return AuthResult(success=right, handled=right)


@contextmanager
def running(handler: object, **options: Any) -> Iterator[int]:
    """The port of a server."""
    controller = Controller(handler, hostname=HOST, port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def to(address: str = "ada@example.org") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "service@example.org", address, "Hello"
    message.set_content("Grüße")
    return message


async def send(*messages: EmailMessage) -> None:
    async with open_mail() as mailer:
        for message in messages:
            await mailer.send(message)


async def test_a_message_arrives_as_it_was_written(mail_server: MailServer) -> None:
    await send(to())
    (message,) = mail_server.inbox
    assert (message["To"], message["Subject"]) == ("ada@example.org", "Hello")
    assert message.get_content().strip() == "Grüße"


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_it_encrypts_and_logs_in(smtp: Set, certificate: ssl.SSLContext, security: str) -> None:
    server = MailServer()
    options: dict[str, Any] = {"tls_context": certificate, "require_starttls": True, "auth_required": True}
    if security == "tls":
        options = {"ssl_context": certificate, "auth_require_tls": False}  # it knows of no other TLS than STARTTLS
    with running(server, authenticator=ada_only, **options) as port:
        smtp(port=port, security=security, username="ada", password="secret")
        await send(to())
    assert len(server.inbox) == 1


async def test_a_wrong_password_is_refused(smtp: Set, certificate: ssl.SSLContext) -> None:
    server = MailServer()
    with running(server, authenticator=ada_only, auth_required=True, tls_context=certificate) as port:
        smtp(port=port, security="starttls", username="ada", password="wrong")
        with pytest.raises(MailRefusedError, match=r"^535 ") as error:
            await send(to())
    assert "wrong" not in str(error.value)
    assert not server.inbox


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_gets_no_message(
    smtp: Set, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    server = MailServer()
    with running(server, **{"tls_context" if security == "starttls" else "ssl_context": certificate}) as port:
        smtp(port=port, security=security)
        with pytest.raises(MailAwayError, match="certificate verify failed"):
            await send(to())
    assert not server.inbox


async def test_nothing_is_sent_in_the_clear_where_the_server_does_not_encrypt(
    smtp: Set, mail_server: MailServer
) -> None:
    smtp(security="starttls", username="ada", password="secret")
    with pytest.raises(MailRefusedError, match="STARTTLS"):
        await send(to())
    assert not mail_server.inbox


@pytest.mark.parametrize(
    ("answer", "error"), [("451 try later", MailPutOffError), ("550 no such mailbox", MailRefusedError)]
)
async def test_the_connection_serves_on_after_a_message_that_was_not_taken(
    mail_server: MailServer, answer: str, error: type[Exception]
) -> None:
    mail_server.refusals["ada@example.org"] = answer
    async with open_mail() as mailer:
        with pytest.raises(error, match=answer):
            await mailer.send(to())
        await mailer.send(to("grace@example.org"))
    assert [message["To"] for message in mail_server.inbox] == ["grace@example.org"]


async def test_what_the_server_says_is_told_without_the_recipient(mail_server: MailServer) -> None:
    mail_server.refusals["ada@example.org"] = "550 <ada@example.org>: no such mailbox"
    with pytest.raises(MailRefusedError, match="550 <the recipient>: no such mailbox") as error:
        await send(to())
    assert error.value.__suppress_context__


async def test_a_server_that_is_closing_is_away(mail_server: MailServer) -> None:
    mail_server.refusals["ada@example.org"] = "421 closing down"
    with pytest.raises(MailAwayError, match="421 closing down") as error:
        await send(to())
    assert not isinstance(error.value, MailPutOffError)


async def test_where_nothing_listens_the_server_is_away() -> None:
    with pytest.raises(MailAwayError, match="does not answer"):
        await send(to())


async def test_a_server_that_says_nothing_is_away_after_the_timeout(smtp: Set) -> None:
    with socket.create_server((HOST, 0)) as silent:
        smtp(port=silent.getsockname()[1], timeout=0.05)
        with pytest.raises(MailAwayError, match="does not answer"):
            await send(to())


@pytest.mark.parametrize("understands", [True, False])
async def test_an_address_beyond_ascii_needs_a_server_that_understands_it(smtp: Set, understands: bool) -> None:
    server = MailServer()
    with running(server, enable_SMTPUTF8=understands) as port:
        smtp(port=port)
        if understands:
            await send(to("jürgen@example.org"))
        else:
            with pytest.raises(MailRefusedError, match="SMTPUTF8"):
                await send(to("jürgen@example.org"))
    assert len(server.inbox) == understands


@pytest.mark.parametrize("given", ["username", "password"])
def test_half_a_login_is_refused(smtp: Set, given: str) -> None:
    smtp(**{given: "secret"})
    with pytest.raises(SettingsError, match="SMTP_USERNAME and SMTP_PASSWORD need each other") as error:
        load(SmtpSettings)
    assert "secret'" not in str(error.value)
