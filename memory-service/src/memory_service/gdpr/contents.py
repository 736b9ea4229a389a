"""Everything held of a viewer, item by item, in bounded memory and out of one snapshot."""

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.db import Database
from memory_service.errors import NotFound
from memory_service.gdpr import repository
from memory_service.gdpr.document import Item, Section

# Rows fetched at once: some 200 exchanges of the largest size are 13 MB, of the usual size 100 KB.
_ROWS = 200

USER = Section("user", "user", single=True)
SESSIONS = Section("sessions", "session")
INTERACTIONS = Section("interactions", "interaction")
MEMORIES = Section("memories", "memory")
FEEDBACK_GIVEN = Section("feedback_given", "feedback_given")
VECTOR_COUNTS = Section("vector_counts", "vector_count")
VECTORS = Section("vectors", "vector")
USED_IN = Section("used_in", "used_in", single=True)
SECTIONS = (USER, SESSIONS, INTERACTIONS, MEMORIES, FEEDBACK_GIVEN, VECTOR_COUNTS, VECTORS, USED_IN)


def unknown(user_id: str) -> NotFound:
    """Nothing is held under this id."""
    return NotFound(f"Nothing is held about a user called {user_id!r}. GET /users lists those there are.")


async def everything(
    database: Database, owner: str, user_id: str, *, with_vectors: bool
) -> AsyncGenerator[Item | None, None]:
    """None once it is certain that the viewer is known; then every item, section by section.

    The transaction lasts as long as the iteration: close the iterator when nobody reads on.

    Raises:
        NotFound: nothing is held under this id; told before the first item.
    """
    async with database.transaction(owner, snapshot=True) as connection:
        if not await repository.known(connection, user_id):
            raise unknown(user_id)
        yield None
        for section, statement, shown in _parts(user_id):
            if section is VECTORS and not with_vectors:
                continue
            async for rows in _batches(connection, statement):
                for item in await shown(connection, rows):
                    yield section, item
        learned = await repository.learned(connection, user_id)
        yield USED_IN, learned._asdict()


_Shown = Callable[[AsyncConnection, Sequence[Row[Any]]], Awaitable[list[Mapping[str, Any]]]]


def _parts(user_id: str) -> list[tuple[Section, Select[Any], _Shown]]:
    return [
        (USER, repository.viewer(user_id), _as_they_are),
        (SESSIONS, repository.sessions(user_id), _as_they_are),
        (INTERACTIONS, repository.interactions(user_id), _interactions),
        (MEMORIES, repository.memories(user_id), _memories),
        (FEEDBACK_GIVEN, repository.feedback_given(user_id), _as_they_are),
        (VECTOR_COUNTS, repository.vector_counts(user_id), _as_they_are),
        (VECTORS, repository.vectors(user_id), _as_they_are),
    ]


async def _batches(connection: AsyncConnection, statement: Select[Any]) -> AsyncIterator[Sequence[Row[Any]]]:
    result = await connection.stream(statement, execution_options={"max_row_buffer": _ROWS})
    async for rows in result.partitions(_ROWS):
        yield rows


async def _as_they_are(_: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Mapping[str, Any]]:
    return [dict(row._mapping) for row in rows]


async def _interactions(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Mapping[str, Any]]:
    """The exchanges, each with what people thought of it and what it was about."""
    ids = [row.id for row in rows]
    feedback: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in await repository.feedback_on(connection, ids):
        feedback[row.interaction_id].append(dict(row._mapping))
    topics: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in await repository.topics_of(connection, ids):
        topics[row.interaction_id].append({"label": row.label, "similarity": row.similarity})
    return [{**row._mapping, "feedback": feedback[row.id], "topics": topics[row.id]} for row in rows]


async def _memories(_: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Mapping[str, Any]]:
    return [{**_without(row, "has_expired"), "state": state_of(row)} for row in rows]


def _without(row: Row[Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row._mapping.items() if key != name}


def state_of(memory: Row[Any]) -> str:
    """`current`, or why the memory no longer is: `deleted`, `superseded`, `retired` (ended, nothing new) or `expired`."""
    if memory.is_deleted:
        return "deleted"
    if memory.valid_to is not None:
        return "retired" if memory.superseded_by is None else "superseded"
    return "expired" if memory.has_expired else "current"
