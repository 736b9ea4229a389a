"""Reads what may be exported, batch by batch; writes `training_exports` and what belongs to them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, any_, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql import UUID as PGUUID
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.exports.dataset import Place
from memory_service.ids import make_id
from memory_service.models import Feedback as Opinions
from memory_service.models import Persona, Session, TrainingExport, TrainingExportRow, TrainingExportSource, User
from memory_service.personas.service import CurrentPersona

# What a conversation service may call a viewer in a session's metadata, besides the id.
_DISPLAY_NAMES = ("display_name", "username", "nickname", "name")
# Rows written with one statement; the protocol takes 32,767 parameters.
_AT_ONCE = 1000


async def viewers_known(connection: AsyncConnection, until: datetime) -> list[str]:
    """Ids of all who had been seen by then, viewers and raters: any of them may be mentioned by another."""
    viewers = select(User.id).where(User.created_at <= until)
    raters = select(Opinions.user_id).where(Opinions.created_at <= until, Opinions.user_id.is_not(None))
    return sorted(await connection.scalars(viewers.union(raters)))


async def display_names(connection: AsyncConnection, session_ids: Collection[UUID]) -> dict[str, list[str]]:
    """What these sessions' metadata call their viewers, by viewer id."""
    columns = [Session.metadata_[key].astext.label(key) for key in _DISPLAY_NAMES]
    named = or_(*(Session.metadata_.has_key(key) for key in _DISPLAY_NAMES))
    statement = select(Session.user_id, *columns).where(one_of(Session.id, session_ids), named).order_by(Session.id)
    names: dict[str, list[str]] = {}
    for row in await connection.execute(statement):
        given = [name for key in _DISPLAY_NAMES if (name := getattr(row, key))]
        names[row.user_id] = list(dict.fromkeys([*names.get(row.user_id, []), *given]))
    return names


def one_of(column: Any, ids: Collection[UUID]) -> ColumnElement[bool]:
    """Condition that `column` is one of `ids`."""
    # One array parameter: a list of thousands would exceed the driver's 32,767 parameters.
    condition: ColumnElement[bool] = column == any_(literal(list(ids), ARRAY(PGUUID(as_uuid=True))))
    return condition


async def store(
    connection: AsyncConnection,
    owner: str,
    persona_id: UUID,
    manifest: dict[str, Any],
    created_at: datetime,
    rows: Iterable[Place],
    sources: Collection[UUID],
) -> bool:
    """Remember a dataset, its rows and what else stands in it; False when the very same one is remembered already."""
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
    pending = iter(rows)
    while batch := [_row(owner, row["id"], place) for place in islice(pending, _AT_ONCE)]:
        await connection.execute(insert(cast(Table, TrainingExportRow.__table__)), batch)
    ids = iter(sorted(sources))
    while told := list(islice(ids, _AT_ONCE)):
        entries = [{"training_export_id": row["id"], "source_id": source, "owner_id": owner} for source in told]
        await connection.execute(insert(cast(Table, TrainingExportSource.__table__)), entries)
    return True


def _row(owner: str, training_export_id: object, place: Place) -> dict[str, Any]:
    return {
        "training_export_id": training_export_id,
        "interaction_id": UUID(place.interaction_id),
        "owner_id": owner,
        "row_number": place.row_number,
        "split": place.split,
        "content_hash": place.content_hash,
        "place": place.place,
        "session_id": UUID(place.session_id),
        "quality_score": place.quality_score,
        "evidence": place.evidence,
    }


async def find(connection: AsyncConnection, export_id: str) -> Row[Any] | None:
    """A dataset's record."""
    return (await connection.execute(select(TrainingExport).where(TrainingExport.export_id == export_id))).one_or_none()


async def persona_of(connection: AsyncConnection, persona_id: UUID) -> CurrentPersona:
    """The persona a dataset belongs to."""
    row = (await connection.execute(select(Persona).where(Persona.id == persona_id))).one()
    return CurrentPersona(row.id, row.slug, row.name, row.language, row.settings)


async def session_ids(connection: AsyncConnection, training_export_id: UUID) -> Sequence[UUID]:
    """The sessions a dataset's rows are from."""
    statement = select(TrainingExportRow.session_id).where(TrainingExportRow.training_export_id == training_export_id)
    return [found for found in await connection.scalars(statement.distinct()) if found is not None]


async def places(
    connection: AsyncConnection, training_export_id: UUID, split: str, first: int, rows: int
) -> list[Place]:
    """The places of up to `rows` lines of a split from line `first` on, in file order."""
    table = TrainingExportRow
    statement = (
        select(table)
        .where(
            table.training_export_id == training_export_id,
            table.split == split,
            table.row_number >= first,
            table.row_number < first + rows,
        )
        .order_by(table.row_number, table.place, table.interaction_id)
    )
    return [
        Place(
            interaction_id=str(row.interaction_id),
            session_id=str(row.session_id),
            split=row.split,
            row_number=row.row_number,
            place=row.place,
            content_hash=row.content_hash,
            quality_score=row.quality_score or 0.0,
            evidence=row.evidence,
        )
        for row in await connection.execute(statement)
    ]


async def lines(connection: AsyncConnection, training_export_id: UUID, split: str) -> int:
    """How many lines a split has."""
    table = TrainingExportRow
    statement = select(func.max(table.row_number)).where(
        table.training_export_id == training_export_id, table.split == split
    )
    last = await connection.scalar(statement)
    return 0 if last is None else int(last) + 1


def summaries() -> Select[Any]:
    """Statement for the datasets' records."""
    return select(
        TrainingExport.id,
        TrainingExport.manifest.op("-")("rows").label("summary"),
        TrainingExport.created_at,
        TrainingExport.tainted_at,
    )
