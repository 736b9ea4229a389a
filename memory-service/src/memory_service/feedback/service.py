"""A rating overrules the scorer."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.errors import NotFound
from memory_service.feedback import repository
from memory_service.feedback.schemas import FeedbackCreate, FeedbackItem, FeedbackStored
from memory_service.interactions import service as interactions
from memory_service.scoring import from_ratings


async def give(
    connection: AsyncConnection, owner: str, interaction_id: UUID, feedback: FeedbackCreate
) -> FeedbackStored:
    """Store an opinion; with a rating, the interaction's score becomes the mean of its ratings.

    Raises:
        NotFound: this owner has no such interaction.
    """
    before = await repository.lock_interaction(connection, interaction_id)
    if before is None:
        raise NotFound(f"No interaction has the id {interaction_id}.")
    row = await repository.create(connection, owner, interaction_id, feedback.model_dump())
    score = before
    if feedback.rating is not None:
        score = from_ratings(await repository.ratings(connection, interaction_id))
        await interactions.overrule(connection, owner, interaction_id, score)
    return FeedbackStored(**FeedbackItem.model_validate(row).model_dump(), quality_score=score)
