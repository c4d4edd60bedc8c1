"""The rules for users, without HTTP."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.services import users
from app.services.errors import ConflictError, NotFoundError


async def test_an_email_is_kept_in_lower_case(session: AsyncSession) -> None:
    async with session.begin():
        user = await users.create(session, email="Ada@Example.ORG", name="Ada")
        assert user.email == "ada@example.org"
        await users.update(session, user.id, {"email": "COUNTESS@example.org"})
        assert user.email == "countess@example.org"


async def test_a_taken_email_is_a_conflict_and_changes_nothing(session: AsyncSession) -> None:
    async with session.begin():
        ada = await users.create(session, email="ada@example.org", name="Ada")
    with pytest.raises(ConflictError, match=r"ada@example\.org"):
        async with session.begin():
            await users.create(session, email="ADA@example.org", name="Another")
    async with session.begin():
        assert [user.id for user in await users.page(session, after=0, limit=10)] == [ada.id]


async def test_nothing_of_a_failed_transaction_stays(session: AsyncSession) -> None:
    async def fail() -> None:
        async with session.begin():
            await users.create(session, email="ada@example.org", name="Ada")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await fail()
    assert list(await users.page(session, after=0, limit=10)) == []


async def test_an_unknown_user_is_not_found(session: AsyncSession) -> None:
    with pytest.raises(NotFoundError, match="There is no user 7"):
        await users.get(session, 7)
    with pytest.raises(NotFoundError):
        await users.update(session, 7, {})
    with pytest.raises(NotFoundError):
        await users.remove(session, 7)


async def test_a_page_begins_after_an_id_and_has_a_limit(session: AsyncSession) -> None:
    async with session.begin():
        ids = [(await users.create(session, email=f"user{n}@example.org", name="Ada")).id for n in range(4)]
    assert [user.id for user in await users.page(session, after=ids[0], limit=2)] == ids[1:3]
