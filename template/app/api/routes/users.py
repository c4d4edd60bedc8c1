"""Users over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status

from app.api.dependencies import SessionDep
from app.api.documentation import LOCATION
from app.api.json_route import JsonRoute
from app.api.problems import REFUSED_BODY, problems
from app.core.strict_json import StrictJson
from app.models.users import User
from app.schemas.users import UserCreate, UserOut, UserPage, UserUpdate
from app.services import users

router = APIRouter(prefix="/api/v1/users", tags=["users"], responses=problems(422, 503), route_class=JsonRoute)

LARGEST_ID = 2**31 - 1
UserId = Annotated[int, Path(ge=1, le=LARGEST_ID)]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=UserOut,
    responses={201: {"headers": LOCATION}, **problems(409, *REFUSED_BODY)},
)
async def create_user(body: Annotated[UserCreate, StrictJson()], session: SessionDep, response: Response) -> User:
    """No two users share an e-mail address, in whatever case it is written."""
    async with session.begin():
        user = await users.create(session, email=body.email, name=body.name)
    response.headers["Location"] = f"{router.prefix}/{user.id}"
    return user


@router.get("")
async def list_users(
    session: SessionDep,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID, description="The last id of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> UserPage:
    """In the order in which they were created."""
    found = await users.page(session, after=after, limit=limit + 1)
    items = [UserOut.model_validate(user) for user in found[:limit]]
    return UserPage(items=items, next_after=items[-1].id if len(found) > limit else None)


@router.get("/{user_id}", response_model=UserOut, responses=problems(404))
async def read_user(user_id: UserId, session: SessionDep) -> User:
    """One user, by id."""
    return await users.get(session, user_id)


@router.patch("/{user_id}", response_model=UserOut, responses=problems(404, 409, *REFUSED_BODY))
async def update_user(user_id: UserId, body: Annotated[UserUpdate, StrictJson()], session: SessionDep) -> User:
    """Only what is given is changed."""
    async with session.begin():
        return await users.update(session, user_id, body.model_dump(exclude_unset=True))


@router.delete("/{user_id}", status_code=status.HTTP_204_NO_CONTENT, responses=problems(404))
async def delete_user(user_id: UserId, session: SessionDep) -> None:
    """For good."""
    async with session.begin():
        await users.remove(session, user_id)
