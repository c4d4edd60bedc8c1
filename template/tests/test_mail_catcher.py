"""The mail server for development."""

import asyncio
import contextlib
from email.message import EmailMessage

import pytest

from app.core.config.smtp import get_smtp_settings
from app.core.mail import open_mail
from scripts import mail_catcher


async def test_it_prints_every_message_and_delivers_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mail_catcher, "PORT", get_smtp_settings().port)
    catcher = asyncio.create_task(mail_catcher.main())
    await asyncio.sleep(0)  # up to where it listens
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "service@example.org", "ada@example.org", "Grüße"
    message.set_content("http://127.0.0.1:8000/email-tokens#t0ken")
    async with open_mail() as mailer:
        await mailer.send(message)
    catcher.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await catcher
    printed = capsys.readouterr().out
    assert printed.startswith("To: ada@example.org\nSubject: Grüße\n\nhttp://127.0.0.1:8000/email-tokens#t0ken")
