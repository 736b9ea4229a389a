"""Reads and writes `interactions`: plain inserts, no object tracking, for the write path is the hot one."""

from collections.abc import Collection, Sequence
from datetime import datetime
from operator import eq, ge, le
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Select, Table, Text, bindparam, delete, insert, or_, select, text, type_coerce, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.embeddings.texts import embedded_text
from memory_service.interactions.schemas import InteractionFilter, TrainingFilter, Window
from memory_service.models import Embedding, Interaction, Persona, RecallDocument, Session, User

_TAINT = text(Path(__file__).with_name("taint.sql").read_text(encoding="utf-8")).bindparams(
    bindparam("erased_ids", type_=ARRAY(PGUUID(as_uuid=True)))
)
_OPTED_OUT = or_(Session.opt_out_training, User.opt_out_training)
# Ids a statement carries; the protocol takes 32,767 parameters.
_REMOVED_AT_ONCE = 1000
# A human who thinks well of an exchange overrules the hard rules; one who does not leaves it dropped.
_GOOD = 0.5

# Everything of an interaction that the API shows: all but its text index and its hash.
_SHOWN: tuple[Any, ...] = (
    Interaction.id,
    Interaction.session_id,
    Interaction.user_id,
    Persona.slug.label("persona"),
    Interaction.input_text,
    Interaction.output_text,
    Interaction.input_emotion,
    Interaction.output_emotion,
    Interaction.model_version,
    Interaction.occurred_at,
    Interaction.audience,
    Interaction.created_at,
    Interaction.quality_score,
    Interaction.quality_source,
    Interaction.quality,
    _OPTED_OUT.label("opt_out_training"),
    Interaction.embedding_status,
    Interaction.metadata_.label("metadata"),
)
# Composed once, not for every request.
_INTERACTIONS: Select[Any] = (
    select(*_SHOWN)
    .join(Session, Session.id == Interaction.session_id)
    .join(User, (User.owner_id == Interaction.owner_id) & (User.id == Interaction.user_id))
    .join(Persona, Persona.id == Interaction.persona_id)
)

_SESSION_CONTEXTS: Select[Any] = select(
    Session.id,
    Session.user_id,
    Session.ended_at,
    Session.persona_id,
    Persona.slug,
    Persona.name,
    Persona.language,
    Persona.settings,
).join(Persona, Persona.id == Session.persona_id)


def _within(statement: Select[Any], window: Window) -> Select[Any]:
    if window.since is not None:
        statement = statement.where(Interaction.occurred_at >= window.since)
    if window.until is not None:
        statement = statement.where(Interaction.occurred_at < window.until)
    return statement


def matching(wanted: InteractionFilter) -> Select[Any]:
    """Statement for the interactions that fit every filter given."""
    filters = (
        (eq, Interaction.session_id, wanted.session_id),
        (eq, Interaction.user_id, wanted.user_id),
        (eq, Persona.slug, wanted.persona),
        (ge, Interaction.quality_score, wanted.min_quality),
        (le, Interaction.quality_score, wanted.max_quality),
        (eq, Interaction.dropped, wanted.dropped),
        (eq, Interaction.embedding_status, wanted.embedding_status),
    )
    given = (compare(column, value) for compare, column, value in filters if value is not None)
    return _within(_INTERACTIONS, wanted).where(*given)


def training_ready(persona_id: UUID, wanted: TrainingFilter) -> Select[Any]:
    """Statement for what the persona may learn from: good, not dropped, answered, and with consent."""
    statement = _INTERACTIONS.where(
        Interaction.persona_id == persona_id,
        ~Interaction.dropped,
        Interaction.quality_score >= wanted.min_quality,
        # As a plain column: the pattern would be encrypted like a text, and no reply matches that.
        type_coerce(Interaction.output_text, Text).regexp_match(r"\S"),
        ~_OPTED_OUT,
    )
    return _within(statement, wanted)


async def session_contexts(connection: AsyncConnection, session_ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """What recording needs to know of the sessions: viewer, persona, whether they have ended. By session id."""
    rows = await connection.execute(_SESSION_CONTEXTS.where(Session.id.in_(session_ids)))
    return {row.id: row for row in rows}


async def recent_replies(connection: AsyncConnection, persona_id: UUID, before: datetime, limit: int) -> list[str]:
    """The persona's last replies up to `before`, oldest first."""
    statement = (
        select(Interaction.output_text)
        .where(Interaction.persona_id == persona_id, Interaction.occurred_at <= before)
        .order_by(Interaction.occurred_at.desc(), Interaction.id.desc())
        .limit(limit)
    )
    return [reply for reply in reversed((await connection.scalars(statement)).all()) if reply]


async def create(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Store interactions, given by column name."""
    await connection.execute(insert(cast(Table, Interaction.__table__)), rows)


async def find(connection: AsyncConnection, interaction_id: UUID) -> Row[Any] | None:
    """The interaction as the API shows it."""
    statement = _INTERACTIONS.where(Interaction.id == interaction_id)
    row: Row[Any] | None = (await connection.execute(statement)).one_or_none()
    return row


async def override_quality(connection: AsyncConnection, interaction_id: UUID, score: float) -> bool:
    """Put a human's score over the scorer's, whose breakdown stays; whether that changes the text its vectors stand for.

    Then the vectors are gone, of whatever model, and the interaction waits for others.
    """
    mine = Interaction.id == interaction_id
    # Locked: of two who overrule the scorer at once, the second sees what the first has changed.
    known = select(Interaction.quality, Interaction.dropped, Interaction.input_text, Interaction.output_text)
    row = (await connection.execute(known.where(mine).with_for_update(key_share=True))).one_or_none()
    if row is None:
        return False
    dropped = bool(row.quality["drops"]) and score < _GOOD
    values = {"quality_score": score, "quality_source": "human", "dropped": dropped}
    before, after = (embedded_text(row.input_text, row.output_text, dropped=one) for one in (row.dropped, dropped))
    if before == after:
        await connection.execute(update(Interaction).where(mine).values(values))
        return False
    # The row before what hangs on its document, as a deletion and the worker go.
    await connection.execute(update(Interaction).where(mine).values(values | {"embedding_status": "pending"}))
    document = select(RecallDocument.id).where(RecallDocument.interaction_id == interaction_id)
    await connection.execute(delete(Embedding).where(Embedding.document_id.in_(document)))
    return True


async def remove(connection: AsyncConnection, interaction_id: UUID) -> bool:
    """Delete an interaction with its vectors, feedback and topics, and taint what learned from it; False: no such one."""
    return await remove_all(connection, [interaction_id]) == 1


async def remove_all(connection: AsyncConnection, interaction_ids: Sequence[UUID]) -> int:
    """The same for any number of them; how many there were."""
    removed = 0
    for start in range(0, len(interaction_ids), _REMOVED_AT_ONCE):
        batch = interaction_ids[start : start + _REMOVED_AT_ONCE]
        await taint(connection, batch)
        result = await connection.execute(delete(Interaction).where(Interaction.id.in_(batch)))
        removed += int(result.rowcount)
    return removed


async def taint(connection: AsyncConnection, erased_ids: Sequence[UUID]) -> None:
    """Mark what learned from these exchanges, memories or opinions as tainted; to be called before they are erased."""
    await connection.execute(_TAINT, {"erased_ids": list(erased_ids)})
