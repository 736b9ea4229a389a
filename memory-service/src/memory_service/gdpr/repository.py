"""Finds and removes what is held of a viewer, table by table."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, any_, delete, func, literal, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.models import (
    Base,
    Embedding,
    EmbeddingModel,
    Feedback,
    IdempotentRequest,
    Interaction,
    InteractionTopic,
    Memory,
    Persona,
    RecallDocument,
    Session,
    SessionSummary,
    Topic,
    User,
)

_HELD, _LEARNED = (
    text(Path(__file__).with_name(name).read_text(encoding="utf-8")) for name in ("held.sql", "learned.sql")
)
_SORTED_INTO: tuple[Any, ...] = (InteractionTopic.interaction_id, Topic.label, InteractionTopic.similarity)
_COUNTED: tuple[Any, ...] = (
    EmbeddingModel.name.label("model"),
    EmbeddingModel.revision,
    EmbeddingModel.dimension,
    func.count(RecallDocument.interaction_id).label("interactions"),
    func.count(RecallDocument.memory_id).label("memories"),
)
# Follows from the rest of its row (the text index and the hash), or is the same in every row.
_DERIVED = frozenset({"owner_id", "persona_id", "blind", "blind_end", "content_hash"})


def _columns(table: type[Base]) -> list[ColumnElement[Any]]:
    """Every column a person may want to see, those of later releases included."""
    return [column for column in table.__table__.columns if column.name not in _DERIVED]


async def known(connection: AsyncConnection, user_id: str) -> bool:
    """Whether anything is held: people who only ever rated what others heard have no row among the viewers."""
    viewer = select(User.id).where(User.id == user_id).exists()
    rater = select(Feedback.id).where(Feedback.user_id == user_id).exists()
    return bool(await connection.scalar(select(or_(viewer, rater))))


def viewer(user_id: str) -> Select[Any]:
    """Statement for the viewer's own row."""
    return select(*_columns(User)).where(User.id == user_id)


def sessions(user_id: str) -> Select[Any]:
    """Statement for the sessions, oldest first, with their summaries."""
    return (
        select(
            *_columns(Session),
            Persona.slug.label("persona"),
            SessionSummary.text.label("summary"),
            SessionSummary.written_by.label("summary_written_by"),
            SessionSummary.updated_at.label("summary_updated_at"),
        )
        .join(Persona, Persona.id == Session.persona_id)
        .outerjoin(SessionSummary, SessionSummary.session_id == Session.id)
        .where(Session.user_id == user_id)
        .order_by(Session.started_at, Session.id)
    )


def interactions(user_id: str) -> Select[Any]:
    """Statement for the exchanges, oldest first."""
    return (
        select(*_columns(Interaction), Persona.slug.label("persona"))
        .join(Persona, Persona.id == Interaction.persona_id)
        .where(Interaction.user_id == user_id)
        .order_by(Interaction.occurred_at, Interaction.id)
    )


async def feedback_on(connection: AsyncConnection, ids: Collection[UUID]) -> Sequence[Row[Any]]:
    """What people thought of these exchanges, oldest opinion first."""
    statement = select(*_columns(Feedback)).where(_one_of(Feedback.interaction_id, ids)).order_by(Feedback.id)
    return (await connection.execute(statement)).all()


async def topics_of(connection: AsyncConnection, ids: Collection[UUID]) -> Sequence[Row[Any]]:
    """The topics these exchanges were sorted into."""
    statement = (
        select(*_SORTED_INTO)
        .join(Topic, Topic.id == InteractionTopic.topic_id)
        .where(_one_of(InteractionTopic.interaction_id, ids))
        .order_by(InteractionTopic.similarity.desc(), Topic.id)
    )
    return (await connection.execute(statement)).all()


def memories(user_id: str) -> Select[Any]:
    """Statement for the memories, oldest first, whatever became of them."""
    state = func.coalesce(Memory.expires_at <= func.now(), False)
    return (
        select(*_columns(Memory), Persona.slug.label("persona"), state.label("has_expired"))
        .outerjoin(Persona, Persona.id == Memory.persona_id)
        .where(Memory.user_id == user_id)
        .order_by(Memory.created_at, Memory.id)
    )


def feedback_given(user_id: str) -> Select[Any]:
    """Statement for what the viewer thought of other people's exchanges."""
    own = select(Interaction.id).where(Interaction.user_id == user_id)
    return (
        select(*_columns(Feedback))
        .where(Feedback.user_id == user_id, Feedback.interaction_id.not_in(own))
        .order_by(Feedback.id)
    )


def vector_counts(user_id: str) -> Select[Any]:
    """Statement for the number of vectors under each model."""
    return (
        select(*_COUNTED)
        .join(Embedding, Embedding.model_id == EmbeddingModel.id)
        .join(RecallDocument, RecallDocument.id == Embedding.document_id)
        .where(Embedding.user_id == user_id)
        .group_by(EmbeddingModel.id)
        .order_by(EmbeddingModel.id)
    )


def vectors(user_id: str) -> Select[Any]:
    """Statement for the vectors themselves."""
    return (
        select(
            EmbeddingModel.name.label("model"),
            RecallDocument.interaction_id,
            RecallDocument.memory_id,
            Embedding.part,
            Embedding.embedding.label("vector"),
        )
        .join(EmbeddingModel, EmbeddingModel.id == Embedding.model_id)
        .join(RecallDocument, RecallDocument.id == Embedding.document_id)
        .where(Embedding.user_id == user_id)
        .order_by(Embedding.document_id, Embedding.model_id, Embedding.part)
    )


async def learned(connection: AsyncConnection, user_id: str) -> Row[Any]:
    """The datasets, adapters and deployments that the viewer's exchanges went into."""
    return (await connection.execute(_LEARNED, {"user_id": user_id})).one()


async def count(connection: AsyncConnection, user_id: str) -> Row[Any]:
    """How many rows of each kind are held."""
    return (await connection.execute(_HELD, {"user_id": user_id})).one()


async def lock(connection: AsyncConnection, user_id: str) -> None:
    """Let nobody add to what is held of the viewer until the transaction ends.

    Sessions before the viewer, as those who store an exchange lock them. What is stored at this moment is waited for;
    what comes later finds no viewer (or session) any more.
    """
    await connection.execute(
        select(Session.id).where(Session.user_id == user_id).order_by(Session.id).with_for_update()
    )
    await connection.execute(select(User.id).where(User.id == user_id).with_for_update())


async def personas_with_topics(connection: AsyncConnection) -> Sequence[UUID]:
    """The personas topics were found for."""
    return (await connection.scalars(select(Topic.persona_id).distinct().order_by(Topic.persona_id))).all()


async def remove_topics(connection: AsyncConnection, user_id: str) -> set[UUID]:
    """Delete every topic that one of the viewer's exchanges belongs to; the personas whose topics they were."""
    told = (
        select(InteractionTopic.topic_id)
        .join(Interaction, Interaction.id == InteractionTopic.interaction_id)
        .where(Interaction.user_id == user_id)
    )
    return set(await connection.scalars(delete(Topic).where(Topic.id.in_(told)).returning(Topic.persona_id)))


async def personas(connection: AsyncConnection, ids: Collection[UUID]) -> Sequence[Row[Any]]:
    """These personas."""
    return (await connection.execute(select(Persona).where(Persona.id.in_(ids)).order_by(Persona.id))).all()


async def interaction_ids(connection: AsyncConnection, user_id: str) -> Sequence[UUID]:
    """The exchanges, by their ids alone."""
    return (await connection.scalars(select(Interaction.id).where(Interaction.user_id == user_id))).all()


async def told(connection: AsyncConnection, user_id: str) -> Sequence[UUID]:
    """The memories and opinions, by their ids alone."""
    statement = select(Memory.id).where(Memory.user_id == user_id)
    return (await connection.scalars(statement.union_all(select(Feedback.id).where(Feedback.user_id == user_id)))).all()


async def remove_rest(connection: AsyncConnection, user_id: str) -> None:
    """Delete what is left when the exchanges are gone, down to the viewer's own row; vectors and summaries go with it."""
    await connection.execute(delete(Feedback).where(Feedback.user_id == user_id))
    await connection.execute(delete(Memory).where(Memory.user_id == user_id))
    await connection.execute(delete(Session).where(Session.user_id == user_id))
    await connection.execute(delete(User).where(User.id == user_id))


async def forget_answers(connection: AsyncConnection) -> None:
    """Delete the owner's remembered answers.

    They repeat what was said word for word, sealed or not, and nothing tells whose words an answer holds. Without them a
    write repeated within a day is done again; that is the smaller harm.
    """
    await connection.execute(delete(IdempotentRequest))


def _one_of(column: Any, ids: Collection[UUID]) -> ColumnElement[bool]:
    # One array parameter: a list of thousands would exceed the driver's 32,767 parameters.
    condition: ColumnElement[bool] = column == any_(literal(list(ids), ARRAY(PGUUID(as_uuid=True))))
    return condition
