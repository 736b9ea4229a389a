"""Runs recall's statements and fetches what they found."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    TEXT,
    BigInteger,
    Boolean,
    DateTime,
    Double,
    Executable,
    TextClause,
    Uuid,
    bindparam,
    column,
    or_,
    select,
    text,
)
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.encryption.blind_index import index_cipher, searched_terms
from memory_service.memories.repository import CURRENT
from memory_service.models import Interaction, Memory, RecallDocument, User

# As Lucene and most of the literature have them.
K1, B = 1.5, 0.75
# Documents that may be recalled from which the vector index is asked instead of all vectors. Median of a hundred nearest (384
# dimensions, one of an owner's viewers, 100,000 vectors of 41 owners, two cores shared with other work, 23 questions each):
# exact 1,000 documents 4.6 ms, 5,000 11 ms, 10,000 18 ms; exact against index 20,000 28 against 40 ms, 40,000 51 against
# 37 ms. The smaller a viewer's share, the more of others the index meets. From 20,000 on, recall@10 was 1.00, recall@100 .985.
# Where everybody is heard, all of an owner's 40,000 vectors are read for any share of public ones: exact against index 4,000
# public 53 against 252 ms, 10,000 73 against 85 ms, 20,000 74 against 57 ms, 40,000 347 against 53 ms; recall@100 .99 or more.
LARGE = 25_000

_TYPES: Mapping[str, Any] = {
    "words": ARRAY(TEXT), "terms": ARRAY(TEXT), "names": ARRAY(TEXT), "shelves": ARRAY(TEXT), "speakers": ARRAY(TEXT),
    "audiences": ARRAY(TEXT), "ids": ARRAY(BigInteger), "session_id": Uuid(), "persona_id": Uuid(),
    "k1": Double(), "b": Double(), "as_of": DateTime(timezone=True),
}  # fmt: skip


def _sql(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _typed(statement: str) -> TextClause:
    clause = text(statement)
    return clause.bindparams(*[bindparam(name, type_=kind) for name, kind in _TYPES.items() if f":{name}" in statement])


def _for_scopes(name: str) -> Mapping[bool, TextClause]:
    """The statement by whether others are heard, too, which is written in."""
    return {everybody: _typed(_sql(name).format(everybody=str(everybody).lower())) for everybody in (True, False)}


_SPEAKERS, _FEATURES = (_typed(_sql(name)) for name in ("speakers.sql", "features.sql"))
_WORDS, _BM25 = _for_scopes("words.sql"), _for_scopes("bm25.sql")
# PostgreSQL takes the filter of the index's finds for cheap, and would rather filter and sort all of a viewer's vectors.
PREFER_INDEX, _PREFER_NOTHING = text("SET LOCAL enable_sort = off"), text("SET LOCAL enable_sort = on")
_NEAREST, _NEAREST_INDEXED = _sql("nearest.sql"), _sql("nearest_indexed.sql")
_NEIGHBOURS = _typed(_sql("neighbours.sql")).columns(
    column("hit", BigInteger()),
    column("place", TEXT()),
    column("id", Uuid()),
    column("user_id", TEXT()),
    column("input_text", Interaction.input_text.type),
    column("output_text", Interaction.output_text.type),
    column("dropped", Boolean()),
    column("content", Memory.content.type),
)

_EXCHANGES = select(
    Interaction.id,
    Interaction.session_id,
    Interaction.user_id,
    Interaction.input_text,
    Interaction.output_text,
    Interaction.occurred_at,
    Interaction.dropped,
    Interaction.quality_score,
    Interaction.content_hash,
)
_MEMORIES = select(
    Memory.id,
    Memory.user_id,
    Memory.type,
    Memory.content,
    Memory.key,
    Memory.value,
    Memory.importance,
    Memory.valid_from,
)


@dataclass(frozen=True, slots=True)
class Form:
    """A word as a reader knows it, and a term it may be indexed under."""

    word: str
    term: str


@dataclass(frozen=True, slots=True)
class Words:
    """A question's words, and whether what is searched is large (`LARGE`)."""

    owner_id: str
    forms: Sequence[Form]
    is_large: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be recalled.

    Attributes:
        everybody: also what others said in public.
        session_id: only exchanges of this session, and no typed memories; None for everything.
        audiences: for whose ears a document may be meant.
        as_of: as it stood then; None for now.
    """

    user_id: str
    persona_id: UUID
    everybody: bool
    session_id: UUID | None
    audiences: Sequence[str]
    as_of: datetime | None

    @property
    def shelves(self) -> list[str]:
        """Where the terms of such documents stand."""
        return [self.user_id, ""] if self.everybody else [self.user_id]

    def parameters(self) -> dict[str, Any]:
        """As `recallable` takes them."""
        return {
            "user_id": self.user_id,
            "everybody": self.everybody,
            "persona_id": self.persona_id,
            "session_id": self.session_id,
            "audiences": list(self.audiences),
            "as_of": self.as_of,
        }


async def words(connection: AsyncConnection, scope: Scope, question: str) -> Words:
    """The words of `question`, in a fixed order. To be run first: it sets how the other statements are planned."""
    cipher = index_cipher(connection)
    parameters = scope.parameters() | {"question": question, "large": LARGE}
    rows = (await connection.execute(_WORDS[scope.everybody], parameters)).all()
    owner = rows[0].owner_id
    forms = [Form(row.word, term) for row in rows if row.word for term in searched_terms(cipher, owner, row.lexeme)]
    return Words(owner, forms, rows[0].is_large)


async def speakers(connection: AsyncConnection, owner: str, scope: Scope, names: Collection[str]) -> set[str]:
    """Those of `names` under which somebody speaks in what is stored."""
    terms = speaker_terms(connection, owner, names)
    found = await connection.scalars(_SPEAKERS, {"terms": list(terms), "shelves": scope.shelves})
    return {terms[term] for term in found}


def speaker_terms(connection: AsyncConnection, owner: str, names: Collection[str]) -> dict[str, str]:
    """Each name by the terms that mark what it says."""
    cipher = index_cipher(connection)
    return {term: name for name in names for term in searched_terms(cipher, owner, f"@by {name}")}


async def bm25(
    connection: AsyncConnection, scope: Scope, forms: Sequence[Form], names: Collection[str], candidates: int
) -> Sequence[Row[Any]]:
    """The best documents by words, best first; `names` are words that do not tell what a session is about."""
    if not forms:
        return []
    parameters = {
        "words": [form.word for form in forms],
        "terms": [form.term for form in forms],
        "names": list(names),
        "shelves": scope.shelves,
        "candidates": candidates,
        "k1": K1,
        "b": B,
    }
    return (await connection.execute(_BM25[scope.everybody], scope.parameters() | parameters)).all()


@dataclass(frozen=True, slots=True)
class QuestionVector:
    """A question as a vector, in PostgreSQL's words, and the model that made it."""

    vector: str
    model_id: int
    dimension: int


async def nearest(
    connection: AsyncConnection, scope: Scope, question: QuestionVector, candidates: int, *, is_large: bool
) -> list[int]:
    """The documents nearest to the question, best first: as many as asked for, or all there are.

    A large memory is searched through the index; where that yields fewer, every vector is looked at after all.
    """
    parameters = scope.parameters() | {"vector": question.vector, "candidates": candidates}
    if is_large:
        indexed = nearest_statement(question, everybody=scope.everybody, is_large=True)
        await connection.execute(PREFER_INDEX)
        found = list((await connection.scalars(indexed, parameters)).all())
        await connection.execute(_PREFER_NOTHING)
        if len(found) == candidates:
            return found
    exact = nearest_statement(question, everybody=scope.everybody, is_large=False)
    return list((await connection.scalars(exact, parameters)).all())


def nearest_statement(question: QuestionVector, *, everybody: bool, is_large: bool) -> TextClause:
    """How a memory is searched by vectors: a large one through the model's index.

    Whether others are heard, too, is written into the statement: as a parameter it would hide from the planner that
    one viewer's rows are all that is needed, and the rows of all of an owner's viewers would be read.
    """
    statement = (_NEAREST_INDEXED if is_large else _NEAREST).format(
        model_id=int(question.model_id), dimension=int(question.dimension), everybody=str(everybody).lower()
    )
    return _typed(statement)


async def features(
    connection: AsyncConnection,
    scope: Scope,
    ids: Collection[int],
    question: QuestionVector | None,
    speaker: Collection[str],
) -> Sequence[Row[Any]]:
    """What tells the candidates apart; `speaker` are the terms that mark whom the question is about."""
    parameters = scope.parameters() | {
        "ids": list(ids),
        "shelves": scope.shelves,
        "vector": question.vector if question else None,
        "model_id": question.model_id if question else None,
        "speakers": list(speaker),
    }
    return (await connection.execute(_FEATURES, parameters)).all()


async def opted_out(connection: AsyncConnection, user_id: str) -> bool:
    """Whether the viewer does not want to be remembered in conversation."""
    return bool(await connection.scalar(select(User.opt_out_recall).where(User.id == user_id)))


async def exchanges(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """These exchanges, by id."""
    return await _by_id(connection, _EXCHANGES.where(Interaction.id.in_(ids)))


async def memories(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """These typed memories, by id."""
    return await _by_id(connection, _MEMORIES.where(Memory.id.in_(ids)))


async def _by_id(connection: AsyncConnection, statement: Executable) -> dict[UUID, Row[Any]]:
    return {row.id: row for row in (await connection.execute(statement)).all()}


async def neighbours(connection: AsyncConnection, scope: Scope, ids: Collection[int]) -> Sequence[Row[Any]]:
    """The turns that complete these documents, which have one side: the question before, the answer after."""
    return (await connection.execute(_NEIGHBOURS, scope.parameters() | {"ids": list(ids)})).all()


async def few_memories(connection: AsyncConnection, user_id: str, persona_id: UUID, most: int) -> Sequence[Row[Any]]:
    """The memories that the viewer may hear now, and their documents, newest first; none when there are more than `most`."""
    statement: Executable = (
        select(RecallDocument.id, RecallDocument.memory_id)
        .join(Memory, Memory.id == RecallDocument.memory_id)
        .where(Memory.user_id == user_id, or_(Memory.persona_id.is_(None), Memory.persona_id == persona_id), CURRENT)
        .where(Memory.audience != "streamer")
        .order_by(Memory.created_at.desc(), Memory.id.desc())
        .limit(most + 1)
    )
    found = (await connection.execute(statement)).all()
    return found if len(found) <= most else []
