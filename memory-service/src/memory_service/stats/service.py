"""Puts the counts in order."""

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.interactions.schemas import TrainingFilter
from memory_service.personas.service import CurrentPersona
from memory_service.stats import repository
from memory_service.stats.schemas import (
    CoreMemoryStats,
    DayCount,
    FeedbackStats,
    InteractionStats,
    ScoreCount,
    SessionStats,
    Stats,
)


async def count(connection: AsyncConnection, persona: CurrentPersona) -> Stats:
    """Everything the persona has, counted now."""
    row = await repository.totals(connection, persona.id, TrainingFilter().min_quality)
    spread = await repository.distributions(connection, persona.id)
    by_tenth = {part.tenth: part.interactions for part in spread if part.kind == "score"}
    interactions = InteractionStats(
        total=row.interactions,
        pending_embeddings=row.pending_embeddings,
        dropped=row.dropped,
        training_ready=row.training_ready,
        by_day=[DayCount(day=part.day, count=part.interactions) for part in spread if part.kind == "day"],
        quality_histogram=[
            ScoreCount(lower=tenth / 10, to=(tenth + 1) / 10, count=by_tenth.get(tenth, 0)) for tenth in range(10)
        ],
    )
    return Stats(
        persona=persona.slug,
        core_memory=CoreMemoryStats(total=row.core_memory, immutable=row.immutable_core_memory),
        sessions=SessionStats(total=row.sessions, open=row.open_sessions, opted_out=row.opted_out_sessions),
        interactions=interactions,
        users=row.users,
        feedback=FeedbackStats(total=row.feedback, mean_rating=row.mean_rating),
        topics=row.topics,
        exports=row.exports,
        adapters=row.adapters,
        deployments=row.deployments,
    )
