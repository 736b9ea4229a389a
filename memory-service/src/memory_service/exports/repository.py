"""Reads what may be exported; writes `training_exports` and `training_export_rows`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, any_, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.exports.dataset import Place
from memory_service.exports.selection import Candidate
from memory_service.ids import make_id
from memory_service.models import Interaction, Persona, Session, TrainingExport, TrainingExportRow, User
from memory_service.personas.service import CurrentPersona

# What a conversation service may call a viewer in a session's metadata, besides the id.
_DISPLAY_NAMES = ("display_name", "username", "nickname", "name")


def _sources() -> Select[Any]:
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
    )
    return (
        select(*columns)
        .join(Session, Session.id == Interaction.session_id)
        .join(User, (User.owner_id == Interaction.owner_id) & (User.id == Interaction.user_id))
    )


async def candidates(
    connection: AsyncConnection, persona_id: UUID, since: datetime | None, until: datetime
) -> list[Candidate]:
    """Every exchange of the persona from `since` (included) to `until` (excluded), consenting or not."""
    statement = _sources().where(Interaction.persona_id == persona_id, Interaction.occurred_at < until)
    if since is not None:
        statement = statement.where(Interaction.occurred_at >= since)
    return [_candidate(row) for row in await connection.execute(statement)]


async def sources(connection: AsyncConnection, training_export_id: UUID) -> dict[str, Candidate]:
    """A dataset's exchanges by id, as far as they still exist."""
    learned = select(TrainingExportRow.interaction_id).where(TrainingExportRow.training_export_id == training_export_id)
    rows = await connection.execute(_sources().where(Interaction.id.in_(learned)))
    return {candidate.interaction_id: candidate for candidate in map(_candidate, rows)}


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
    )


def _persona_style(quality: dict[str, Any]) -> float | None:
    """What the scorer said of the persona's style; None where it said nothing."""
    return next((float(one["value"]) for one in quality.get("signals", ()) if one["name"] == "persona_style"), None)


async def viewers_known(connection: AsyncConnection, until: datetime) -> list[str]:
    """Ids of all viewers who had been seen by then: any of them may be mentioned by another."""
    return list(await connection.scalars(select(User.id).where(User.created_at <= until).order_by(User.id)))


async def display_names(connection: AsyncConnection, session_ids: Collection[UUID]) -> dict[str, list[str]]:
    """What these sessions' metadata call their viewers, by viewer id."""
    columns = [Session.metadata_[key].astext.label(key) for key in _DISPLAY_NAMES]
    statement = select(Session.user_id, *columns).where(_one_of(session_ids)).order_by(Session.id)
    names: dict[str, list[str]] = {}
    for row in await connection.execute(statement):
        given = [name for key in _DISPLAY_NAMES if (name := getattr(row, key))]
        names[row.user_id] = list(dict.fromkeys([*names.get(row.user_id, []), *given]))
    return names


def _one_of(session_ids: Collection[UUID]) -> ColumnElement[bool]:
    # One array parameter: a list of thousands would exceed the driver's 32,767 parameters.
    return Session.id == any_(literal(list(session_ids), ARRAY(PGUUID(as_uuid=True))))


async def store(
    connection: AsyncConnection,
    owner: str,
    persona_id: UUID,
    manifest: dict[str, Any],
    created_at: datetime,
    places: Sequence[Place],
) -> bool:
    """Remember a dataset and its rows; False when the very same one is remembered already."""
    row = {key: manifest[key] for key in ("export_id", "type", "format", "dataset_sha256")}
    row |= {
        "id": make_id(),
        "owner_id": owner,
        "persona_id": persona_id,
        "manifest": manifest,
        "created_at": created_at,
    }
    statement = insert(TrainingExport).values(row).on_conflict_do_nothing().returning(TrainingExport.id)
    if await connection.scalar(statement) is None:
        return False
    hashes = {entry["interaction_id"]: bytes.fromhex(entry["content_hash"]) for entry in manifest["rows"]}
    rows = [
        {
            "training_export_id": row["id"],
            "interaction_id": UUID(place.interaction_id),
            "owner_id": owner,
            "row_number": place.row_number,
            "split": place.split,
            "content_hash": hashes[place.interaction_id],
        }
        for place in places
    ]
    await connection.execute(insert(TrainingExportRow), rows)
    return True


async def find(connection: AsyncConnection, export_id: str) -> Row[Any] | None:
    """A dataset's record."""
    return (await connection.execute(select(TrainingExport).where(TrainingExport.export_id == export_id))).one_or_none()


async def persona_of(connection: AsyncConnection, persona_id: UUID) -> CurrentPersona:
    """The persona a dataset belongs to."""
    row = (await connection.execute(select(Persona).where(Persona.id == persona_id))).one()
    return CurrentPersona(row.id, row.slug, row.name, row.language, row.settings)


async def places(connection: AsyncConnection, training_export_id: UUID) -> list[Place]:
    """Where each exchange stands in the dataset, in file order but for the turns within a row."""
    statement = (
        select(TrainingExportRow.interaction_id, TrainingExportRow.split, TrainingExportRow.row_number)
        .where(TrainingExportRow.training_export_id == training_export_id)
        .order_by(TrainingExportRow.split, TrainingExportRow.row_number)
    )
    return [Place(str(row.interaction_id), row.split, row.row_number) for row in await connection.execute(statement)]


def summaries(persona_id: UUID | None = None) -> Select[Any]:
    """Statement for the datasets' records, their manifests without the rows."""
    statement = select(
        TrainingExport.id,
        TrainingExport.manifest.op("-")("rows").label("summary"),
        TrainingExport.created_at,
        TrainingExport.tainted_at,
    )
    return statement if persona_id is None else statement.where(TrainingExport.persona_id == persona_id)
