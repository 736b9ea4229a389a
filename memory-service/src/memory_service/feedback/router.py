"""/interactions/{id}/feedback: rate or correct a reply, list what was said of it."""

from uuid import UUID

from fastapi import APIRouter

from memory_service.feedback import repository, service
from memory_service.feedback.schemas import FeedbackCreate, FeedbackItem, FeedbackStored
from memory_service.interactions import service as interactions
from memory_service.models import Feedback
from memory_service.paging import Page, Paging, fetch_page
from memory_service.unit_of_work import OwnerId, Transaction, TransactionalRoute

router = APIRouter(prefix="/interactions/{interaction_id}/feedback", tags=["feedback"], route_class=TransactionalRoute)


@router.post("", status_code=201)
async def give_feedback(
    interaction_id: UUID, feedback: FeedbackCreate, connection: Transaction, owner: OwnerId
) -> FeedbackStored:
    """Rate a reply from 1 to 5, correct it, or tell what was swiped away for it.

    The mean of its ratings replaces the scorer's score. Corrections, swipes and ratings are what `preference` datasets hold.
    """
    return await service.give(connection, owner, interaction_id, feedback)


@router.get("")
async def list_feedback(interaction_id: UUID, connection: Transaction, paging: Paging) -> Page[FeedbackItem]:
    """What people said of a reply, oldest first."""
    await interactions.get(connection, interaction_id)
    statement = repository.of_interaction(interaction_id)
    rows, total, cursor = await fetch_page(connection, statement, [Feedback.__table__.c.id], paging)
    return Page(items=[FeedbackItem.model_validate(row) for row in rows], total=total, next_cursor=cursor)
