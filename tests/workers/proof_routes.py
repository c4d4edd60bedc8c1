"""A user's own endpoint that queues in its transaction; the tests put this file into a service's app/api/routes/."""

from fastapi import APIRouter

from app.api.dependencies import SessionDep
from app.core.task_outbox import enqueue_after_commit
from app.models.users import User
from app.tasks import proof  # type: ignore[attr-defined]  # put there by the tests

router = APIRouter(prefix="/proof", include_in_schema=False)


@router.post("/sign-up/{key}")
async def sign_up(key: str, session: SessionDep, welcomes: int = 1) -> list[str]:
    """The ids of the tasks. One more is queued in a savepoint that is rolled back."""
    async with session.begin():
        session.add(User(email=key, name="signed up"))
        ids = [enqueue_after_commit(session, proof.start_and_wait, key=f"{key} {n}") for n in range(welcomes)]
        async with session.begin_nested() as savepoint:
            enqueue_after_commit(session, proof.start_and_wait, key=f"{key} rolled back")
            await session.flush()
            await savepoint.rollback()
    return ids


@router.post("/fail/{key}")
async def fail(key: str, session: SessionDep) -> None:
    async with session.begin():
        enqueue_after_commit(session, proof.start_and_wait, key=key)
        await session.flush()
        raise ZeroDivisionError
