"""Messages to users, each written from a template as text and as HTML."""

from email.message import EmailMessage
from pathlib import Path

from email_validator import EmailNotValidError, validate_email
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from app.core.config.smtp import get_smtp_settings
from app.core.mail import MailRefusedError, new_message, open_mail
from app.models.email_tokens import TokenPurpose
from app.models.users import User

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("email_templates")),
    autoescape=select_autoescape(["html"]),  # a name may hold anything
    undefined=StrictUndefined,
)
LINKS: dict[TokenPurpose, tuple[str, str]] = {
    "verification": ("Confirm your e-mail address", "verification"),
    "password reset": ("Choose a new password", "password_reset"),
}
"""Subject and template of a message."""


async def send_link(user: User, purpose: TokenPurpose, token: str) -> None:
    """MailAwayError where trying again may help, MailRefusedError where it does not."""
    subject, template = LINKS[purpose]
    # behind the #, where browsers keep it to themselves: no log of any server has it
    link = f"{get_smtp_settings().links_to}/email-tokens#{token}"
    message = write(user, subject, template, link=link)
    async with open_mail() as mailer:
        await mailer.send(message)


def write(user: User, subject: str, template: str, **values: object) -> EmailMessage:
    """MailRefusedError where the user has no address that a message could be sent to."""
    message = new_message(_address(user), subject)  # without the name, in which anything could stand
    message.set_content(TEMPLATES.get_template(f"{template}.txt").render(user=user, **values))
    html = TEMPLATES.get_template(f"{template}.html").render(user=user, **values)
    message.add_alternative(html, subtype="html")
    return message


def _address(user: User) -> str:
    try:
        address = validate_email(user.email, check_deliverability=False)
    except EmailNotValidError:
        raise MailRefusedError("this user has no valid e-mail address") from None
    return address.ascii_email or address.normalized
