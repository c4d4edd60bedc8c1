"""The server that takes our e-mail."""

from functools import cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, EmailStr, Field, HttpUrl, PositiveFloat, model_validator
from pydantic_settings import SettingsConfigDict

from app.core.config.base import ServiceSettings, load


class SmtpSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SMTP_")

    host: str
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` on port 587, `tls` on 465; `none` is for a server on this machine."""
    username: str = ""
    password: Annotated[str, Field(repr=False)] = ""
    sender: EmailStr
    timeout: PositiveFloat = 10
    """Seconds for each step of the conversation."""
    links_to: Annotated[HttpUrl, AfterValidator(lambda url: str(url).rstrip("/"))]
    """Where the links in messages lead: the address of this service, as people reach it."""

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if bool(self.username) != bool(self.password):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD need each other; set both or neither")
        return self


@cache
def get_smtp_settings() -> SmtpSettings:
    return load(SmtpSettings)
