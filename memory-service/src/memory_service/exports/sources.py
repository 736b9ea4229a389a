"""Reads the exchanges of datasets, with what was recalled for them and what people said about them, batch by batch."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, and_, false, func, or_, select
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.exports.candidates import Candidate, Opinion
from memory_service.exports.repository import one_of
from memory_service.models import (
    Embedding,
    EmbeddingModel,
    Feedback,
    Interaction,
    InteractionTopic,
    Memory,
    RecallDocument,
    Session,
    Topic,
    User,
)

# Exchanges read and judged at a time: a chat's text many times over, and no more than some megabytes.
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Period:
    """Which exchanges of which persona: from `since` (included; None: from the first) to `until` (excluded)."""

    persona_id: UUID
    since: datetime | None
    until: datetime


def _sources(skill: str | None = None) -> Select[Any]:
    columns: tuple[Any, ...] = (
        Interaction.id,
        Interaction.session_id,
        Interaction.user_id,
        Interaction.input_text,
        Interaction.output_text,
        Interaction.occurred_at,
        Interaction.quality_score,
        Interaction.quality_source,
        Interaction.content_hash,
        Interaction.dropped,
        or_(Session.opt_out_training, User.opt_out_training).label("opted_out"),
        Interaction.quality,
        Interaction.metadata_.label("metadata"),
        (false() if skill is None else _named(skill)).label("named"),
    )
    return (
        select(*columns)
        .join(Session, Session.id == Interaction.session_id)
        .join(User, (User.owner_id == Interaction.owner_id) & (User.id == Interaction.user_id))
    )


def _named(skill: str) -> Any:
    of_topic = (
        select(Topic.id)
        .join(InteractionTopic, InteractionTopic.topic_id == Topic.id)
        .where(InteractionTopic.interaction_id == Interaction.id, func.lower(Topic.label) == skill.lower())
    )
    of_session = func.coalesce(func.lower(Session.metadata_["skill"].astext) == skill.lower(), false())
    return or_(of_session, of_topic.exists())


async def exchanges(
    connection: AsyncConnection, period: Period, *, skill: str | None = None, judged: bool = False
) -> AsyncIterator[list[Candidate]]:
    """Every exchange of the period, consenting or not, session by session and in time; with opinions where `judged`."""
    statement = _sources(skill).where(
        Interaction.persona_id == period.persona_id, Interaction.occurred_at < period.until
    )
    if period.since is not None:
        statement = statement.where(Interaction.occurred_at >= period.since)
    statement = statement.order_by(Interaction.session_id, Interaction.occurred_at, Interaction.id)
    async with connection.stream(statement.execution_options(yield_per=AT_ONCE)) as streamed:
        async for batch in streamed.partitions(AT_ONCE):
            found = [_candidate(row) for row in batch]
            yield await _with_opinions(connection, found, period.until) if judged else found


async def by_id(
    connection: AsyncConnection, ids: Collection[str], *, judged_until: datetime | None = None
) -> dict[str, Candidate]:
    """These exchanges, as far as they still exist, with people's opinions up to `judged_until` (None: without)."""
    wanted = {UUID(one) for one in ids}
    found = [_candidate(row) for row in await connection.execute(_sources().where(one_of(Interaction.id, wanted)))]
    if judged_until is not None:
        found = await _with_opinions(connection, found, judged_until)
    return {one.interaction_id: one for one in found}


async def _with_opinions(connection: AsyncConnection, found: Sequence[Candidate], until: datetime) -> list[Candidate]:
    opinions = await _opinions(connection, [UUID(one.interaction_id) for one in found], until)
    return [replace(one, opinions=opinions.get(one.interaction_id, ())) for one in found]


async def _opinions(
    connection: AsyncConnection, ids: Collection[UUID], until: datetime
) -> Mapping[str, Sequence[Opinion]]:
    """What people said of these exchanges before `until`, oldest first, but for those who opted out of training."""
    statement = (
        select(Feedback)
        .outerjoin(User, (User.owner_id == Feedback.owner_id) & (User.id == Feedback.user_id))
        .where(
            one_of(Feedback.interaction_id, ids),
            Feedback.created_at < until,
            ~func.coalesce(User.opt_out_training, false()),
        )
        .order_by(Feedback.created_at, Feedback.id)
    )
    found: dict[str, list[Opinion]] = defaultdict(list)
    for row in await connection.execute(statement):
        opinion = Opinion(str(row.id), row.rating, row.corrected_output, tuple(row.discarded_outputs))
        found[str(row.interaction_id)].append(opinion)
    return found


def _candidate(row: Row[Any]) -> Candidate:
    return Candidate(
        interaction_id=str(row.id),
        session_id=str(row.session_id),
        user_id=row.user_id,
        input_text=row.input_text,
        output_text=row.output_text,
        occurred_at=row.occurred_at,
        quality_score=row.quality_score,
        content_hash=row.content_hash.hex(),
        opted_out=row.opted_out,
        dropped=row.dropped,
        judged_by_human=row.quality_source == "human",
        persona_style=_persona_style(row.quality),
        metadata=row.metadata,
        named=row.named,
    )


def _persona_style(quality: dict[str, Any]) -> float | None:
    """What the scorer said of the persona's style; None where it said nothing."""
    return next((float(one["value"]) for one in quality.get("signals", ()) if one["name"] == "persona_style"), None)


async def still_there(connection: AsyncConnection, ids: Collection[str], as_of: datetime) -> set[str]:
    """Which of these remembered things (memories and exchanges) exist and may be learned from.

    Not those that were deleted, had expired by `as_of`, or are of a viewer or session that opted out of training.
    """
    wanted = {UUID(one) for one in ids}
    said = (
        select(Interaction.id)
        .join(Session, Session.id == Interaction.session_id)
        .join(User, (User.owner_id == Interaction.owner_id) & (User.id == Interaction.user_id))
        .where(one_of(Interaction.id, wanted), ~Session.opt_out_training, ~User.opt_out_training)
    )
    remembered = (
        select(Memory.id)
        .join(User, (User.owner_id == Memory.owner_id) & (User.id == Memory.user_id))
        .where(
            one_of(Memory.id, wanted),
            ~Memory.is_deleted,
            or_(Memory.expires_at.is_(None), Memory.expires_at > as_of),
            ~User.opt_out_training,
        )
    )
    return {str(found) for found in await connection.scalars(said.union_all(remembered))} if wanted else set()


async def vectors(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The vectors of these exchanges under the active model, of length 1, as far as there are any."""
    statement = (
        select(RecallDocument.interaction_id, Embedding.embedding)
        .join(Embedding, and_(Embedding.document_id == RecallDocument.id, Embedding.part == 0))
        .join(EmbeddingModel, EmbeddingModel.id == Embedding.model_id)
        .where(one_of(RecallDocument.interaction_id, [UUID(one) for one in ids]), EmbeddingModel.active)
    )
    found = {}
    for row in await connection.execute(statement):
        vector = np.array(row.embedding, dtype=np.float32)
        length = float(np.linalg.norm(vector))
        if length:
            found[str(row.interaction_id)] = vector / np.float32(length)
    return found
