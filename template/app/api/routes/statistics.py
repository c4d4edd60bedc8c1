"""Figures about the users over HTTP."""

from fastapi import APIRouter

from app.api.dependencies import SessionDep
from app.api.problems import problems
from app.schemas.statistics import Statistics
from app.services import statistics

router = APIRouter(prefix="/api/v1/statistics", tags=["statistics"], responses=problems(503))


@router.get("")
async def read_statistics(session: SessionDep) -> Statistics:
    """How many users there are and how many were active, from the cache when it has them."""
    return await statistics.current(session)
