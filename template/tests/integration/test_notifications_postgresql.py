"""Two runs of one chunk at the same time, on a real PostgreSQL, which locks rows."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.database import open_session
from app.core.mail import open_mail
from app.models.notifications import Notification
from app.models.users import User
from app.services import notifications
from tests.fixtures.examples import MailServer

pytestmark = pytest.mark.usefixtures("postgresql")


async def test_two_runs_of_a_chunk_send_to_nobody_twice(session: AsyncSession, mail_server: MailServer) -> None:
    async with session.begin():
        session.add_all(User(id=one, email=f"user{one}@example.org", name="Ada") for one in (3, 5))
        await session.flush()
        session.add_all(Notification(campaign="0198c7a4", user_id=one) for one in (3, 5))

    async def send_next(using: AsyncSession) -> int | None:
        one = await notifications.send_next(
            using, mailer, "0198c7a4", after=0, last=9, subject="We move", text="On Sunday."
        )
        return one.user_id if one else None

    async with (
        open_mail() as mailer,
        open_session() as other,
        open_session() as third,
        session.begin(),
        other.begin(),
        third.begin(),
    ):
        assert [await send_next(session), await send_next(other), await send_next(third)] == [3, 5, None]
    assert len(mail_server.inbox) == 2
