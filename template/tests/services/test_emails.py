"""What is written to users."""

from email.message import EmailMessage
from typing import Any

import pytest

from app.core.mail import MailRefusedError
from app.models.users import User
from app.services import emails
from tests.fixtures.examples import MailServer

ADA = {"email": "ada@example.org", "name": "Ada"}


def announce(user: User, **values: str) -> EmailMessage:
    return emails.write(user, "Hello", "announcement", **{"text": "There is news."} | values)


def part(message: EmailMessage, kind: str) -> str:
    body: Any = message.get_body((kind,))
    content: str = body.get_content()
    return content


@pytest.mark.parametrize(
    ("purpose", "subject", "about"),
    [
        ("verification", "Confirm your e-mail address", "confirm that this is your e-mail address"),
        ("password reset", "Choose a new password", "choose a new password"),
    ],
)
async def test_a_link_is_sent_as_text_and_as_html(
    mail_server: MailServer, purpose: Any, subject: str, about: str
) -> None:
    await emails.send_link(User(**ADA), purpose, "t0ken")
    (message,) = mail_server.inbox
    assert (message["From"], message["To"]) == ("service@example.org", "ada@example.org")
    assert (message["Subject"], message["Auto-Submitted"]) == (subject, "auto-generated")
    assert message["Date"]
    assert message["Message-ID"].endswith("@example.org>")
    for kind in ("plain", "html"):
        assert "Hello Ada," in part(message, kind)
        assert about in part(message, kind)
        assert "http://service.example.org/email-tokens#t0ken" in part(message, kind)


async def test_a_name_is_no_markup_and_no_header(mail_server: MailServer) -> None:
    name = 'Ada <script>"&\r\nBcc: eve@example.org\r\n\r\n'
    await emails.send_link(User(email="ada@example.org", name=name), "verification", "t0ken")
    (message,) = mail_server.inbox
    assert (message["To"], message["Bcc"]) == ("ada@example.org", None)
    assert "Ada &lt;script&gt;&#34;&amp;" in part(message, "html")
    assert 'Ada <script>"&' in part(message, "plain")


def test_a_name_is_no_template() -> None:
    message = announce(User(email="ada@example.org", name="{" + "{ 7 * 7 }" + "}"), text="{" + "% if %" + "}")
    assert "49" not in part(message, "plain")
    assert "{" + "% if %" + "}" in part(message, "html")


def test_a_subject_is_one_line() -> None:
    with pytest.raises(ValueError, match="linefeed"):
        emails.write(User(**ADA), "Hello\nBcc: eve@example.org", "announcement", text="")


@pytest.mark.parametrize("address", ["", "nobody", "ada@example.org, eve@example.org", "ada@example.org\nBcc: e@e.org"])
def test_what_is_no_address_is_refused_without_being_named(address: str) -> None:
    with pytest.raises(MailRefusedError, match=r"^this user has no valid e-mail address$"):
        announce(User(email=address, name="Ada"))


@pytest.mark.parametrize(
    ("address", "sent_to"), [("ada@bücher.example.org", "ada@xn--bcher-kva.example.org"), ("adä@example.org",) * 2]
)
def test_a_domain_is_written_as_all_servers_know_it(address: str, sent_to: str) -> None:
    assert announce(User(email=address, name="Ada"))["To"] == sent_to
