"""Search by vectors over a store of thousands: as many rows as there are, the nearest ones, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import asyncpg
import numpy as np
import pytest
from memory_service.db import Database, normal_url
from memory_service.embeddings.vectors import vector_text
from memory_service.recall import repository
from memory_service.recall.repository import QuestionVector, Scope, nearest, words
from numpy.typing import NDArray
from pgvector import HalfVector
from pgvector.asyncpg import register_vector
from sqlalchemy import ARRAY, TEXT, DateTime, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Array = NDArray[np.float32]

_NAMES = UUID("6a0d5f0e-2d6f-4cf3-9a57-2f1b8a0c9d11")
PERSONA, OTHER_PERSONA, SESSION = (uuid5(_NAMES, name) for name in ("persona", "other persona", "session"))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
WIDE, NARROW = 384, 16
# Share of the narrow store by viewer: 10,000 vectors in all, so one vector is 0.01 %.
SIZES = {"one": 1, "ten": 10, "hundred": 100, "thousand": 1_000, "most": 7_889}
ELSEWHERE = 1_000
AUDIENCES = ("viewer", "streamer", "public")


@dataclass(frozen=True)
class Row:
    """A document as the filters see it."""

    id: int
    owner: str
    user: str
    persona: UUID | None = None
    session: UUID | None = None
    audience: str = "viewer"
    said_at: datetime = NOW
    valid_to: datetime | None = None
    expires_at: datetime | None = None
    deleted: bool = False

    def is_recalled_by(self, owner: str, scope: Scope) -> bool:
        """What `recallable` promises, said again."""
        moment = scope.as_of
        return (
            self.owner == owner
            and (self.user == scope.user_id or (scope.everybody and self.audience == "public"))
            and self.persona in (None, scope.persona_id)
            and (scope.session_id is None or self.session == scope.session_id)
            and self.audience in scope.audiences
            and not self.deleted
            and (moment is None or self.said_at <= moment)
            and (self.valid_to is None or (moment is not None and self.valid_to > moment))
            and (self.expires_at is None or self.expires_at > datetime.now(UTC))
        )


@dataclass(frozen=True)
class Store:
    """Rows of one model, and their vectors in the same order."""

    model_id: int
    rows: Sequence[Row]
    vectors: Array

    def question(self, vector: Array) -> QuestionVector:
        return QuestionVector(vector_text(vector.tolist()), self.model_id, self.vectors.shape[1])

    def exact(self, owner: str, scope: Scope, vector: Array) -> list[int]:
        """All that may be recalled, nearest first, computed without the database."""
        places = [place for place, row in enumerate(self.rows) if row.is_recalled_by(owner, scope)]
        stored = self.vectors[places].astype(np.float16).astype(np.float32)
        order = np.argsort(-(stored @ vector) / np.linalg.norm(stored, axis=1), kind="stable")
        return [self.rows[places[place]].id for place in order]


def clustered(rows: int, dimension: int, topics: int, seed: int) -> Array:
    """Vectors of length 1 around `topics` centres, as texts about as many things."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(topics, dimension))
    made = centres[random.integers(topics, size=rows)] + 0.7 * random.normal(size=(rows, dimension))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


async def load(url: str, store: Store) -> None:
    """Write `store` without the triggers that would make documents of texts, then its index; no statistics are gathered."""
    address = normal_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(address)
    await register_vector(connection)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "INSERT INTO embedding_models (id, name, dimension) VALUES ($1, $2, $3)",
        store.model_id, f"m{store.model_id}", store.vectors.shape[1],
    )  # fmt: skip
    await connection.copy_records_to_table(
        "recall_documents",
        records=[
            (row.id, row.owner, row.user, row.persona, uuid5(_NAMES, str(row.id)), row.session, row.said_at, row.valid_to,
             row.expires_at, row.deleted, row.audience, False, False, 5, 5)
            for row in store.rows
        ],
        columns=("id", "owner_id", "user_id", "persona_id", "interaction_id", "session_id", "said_at", "valid_to",
                 "expires_at", "is_deleted", "audience", "asks", "tells_when", "length", "end_length"),
    )  # fmt: skip
    await connection.copy_records_to_table(
        "embeddings",
        records=[
            (row.owner, row.user, row.id, store.model_id, 0, HalfVector(vector))
            for row, vector in zip(store.rows, store.vectors, strict=True)
        ],
        columns=("owner_id", "user_id", "document_id", "model_id", "part", "embedding"),
    )
    await connection.execute("SET maintenance_work_mem = '256MB'")
    await connection.execute("SELECT index_vectors($1)", store.model_id)
    await connection.close()


def _narrow() -> Store:
    """Viewers of every size, their rows of every kind, and another owner whose viewers have the same names."""
    random = np.random.default_rng(5)
    users = [user for user, size in SIZES.items() for _ in range(size)]
    owners = ["here"] * len(users) + ["elsewhere"] * ELSEWHERE
    users += random.choice(list(SIZES), ELSEWHERE).tolist()
    rows = [_row(1_000_000 + place, owners[place], users[place], random) for place in random.permutation(len(owners))]
    return Store(901, rows, clustered(len(rows), NARROW, 60, 6))


def _row(number: int, owner: str, user: str, random: np.random.Generator) -> Row:
    hour = timedelta(hours=1)
    return Row(
        number, owner, user,
        persona=(None, PERSONA, PERSONA, OTHER_PERSONA)[random.integers(4)],
        session=SESSION if random.random() < 0.05 else None,
        audience=AUDIENCES[random.choice(3, p=[0.7, 0.2, 0.1])],
        said_at=NOW - hour * int(random.integers(1000)),
        valid_to=NOW - hour if random.random() < 0.1 else None,
        expires_at=NOW - timedelta(days=365) if random.random() < 0.1 else None,
        deleted=bool(random.random() < 0.1),
    )  # fmt: skip


def _wide() -> Store:
    """A large viewer among forty tenants who talk of the same things, four rows of five theirs."""
    random = np.random.default_rng(7)
    rows = [
        Row(2_000_000 + place, "here", "large") if random.random() < 0.2
        else Row(2_000_000 + place, f"tenant-{random.integers(40)}", "large")
        for place in range(5_000)
    ]  # fmt: skip
    return Store(902, rows, clustered(len(rows), WIDE, 80, 8))


@pytest.fixture(scope="module")
def stores(migrated_url: str) -> tuple[Store, Store]:
    narrow, wide = _narrow(), _wide()
    with ThreadPoolExecutor(1) as apart:  # the tests' own event loop may be running
        for store in (narrow, wide):
            apart.submit(asyncio.run, load(migrated_url, store)).result()
    return narrow, wide


@pytest.fixture
async def here(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction of the owner "here", planned as recall plans."""
    async with database.transaction("here") as connection:
        await words(connection, scope("large"), "")
        yield connection


def scope(user: str, *, everybody: bool = False, session: UUID | None = None, audiences: Sequence[str] = AUDIENCES,
          as_of: datetime | None = None) -> Scope:  # fmt: skip
    return Scope(user, PERSONA, everybody, session, audiences, as_of)


FILTERS = [
    {},
    {"audiences": ["public"]},
    {"audiences": ["viewer", "public"]},
    {"session": SESSION},
    {"everybody": True, "audiences": ["public"]},
    {"everybody": True},
    {"as_of": NOW - timedelta(hours=500)},
    {"session": SESSION, "as_of": NOW - timedelta(hours=900), "audiences": ["public"]},
]


@pytest.mark.parametrize("user", SIZES)
@pytest.mark.parametrize("is_large", [False, True])
async def test_whatever_is_filtered_as_many_rows_come_as_there_are(
    stores: tuple[Store, Store], here: AsyncConnection, user: str, is_large: bool
) -> None:
    store = stores[0]
    for filters in FILTERS:
        asked = scope(user, **filters)  # type: ignore[arg-type]
        for vector in clustered(2, NARROW, 2, 9):
            right = store.exact("here", asked, vector)
            for candidates in (10, 100):
                found = await nearest(here, asked, store.question(vector), candidates, is_large=is_large)
                assert len(found) == len(set(found)) == min(candidates, len(right))
                # Nothing deleted, expired, past, of another owner, viewer, persona or audience.
                assert set(found) <= set(right)


async def test_where_the_index_gives_up_every_vector_is_looked_at(
    stores: tuple[Store, Store], here: AsyncConnection
) -> None:
    store, asked = stores[0], scope("hundred")
    await here.execute(text("SET LOCAL hnsw.max_scan_tuples = 500"))
    right = store.exact("here", asked, store.vectors[0])
    found = await nearest(here, asked, store.question(store.vectors[0]), 30, is_large=True)
    assert len(found) == min(30, len(right)) > 10
    assert set(found) <= set(right)


@pytest.mark.parametrize("candidates", [10, 100])
async def test_a_large_viewers_nearest_are_found_among_many_tenants(
    stores: tuple[Store, Store], here: AsyncConnection, candidates: int
) -> None:
    store, asked = stores[1], scope("large")
    # Questions about what is told: near a stored vector, not one.
    random = np.random.default_rng(10)
    near = store.vectors[random.integers(len(store.rows), size=50)] + 0.03 * random.normal(size=(50, WIDE))
    found_of_them = 0
    for vector in near.astype(np.float32):
        found = await nearest(here, asked, store.question(vector), candidates, is_large=True)
        found_of_them += len(set(found) & set(store.exact("here", asked, vector)[:candidates]))
    assert found_of_them / (50 * candidates) >= 0.97


@pytest.mark.parametrize("candidates", [10, 100])
async def test_what_everybody_said_in_public_is_found_through_the_index(
    stores: tuple[Store, Store], here: AsyncConnection, candidates: int
) -> None:
    store, asked = stores[0], scope("ten", everybody=True)
    random = np.random.default_rng(12)
    near = store.vectors[random.integers(len(store.rows), size=50)] + 0.03 * random.normal(size=(50, NARROW))
    private = {row.id for row in store.rows if row.user != "ten" and row.audience != "public"}
    found_of_them = 0
    for vector in near.astype(np.float32):
        found = await nearest(here, asked, store.question(vector), candidates, is_large=True)
        right = store.exact("here", asked, vector)
        assert len(found) == min(candidates, len(right)) == candidates
        assert private.isdisjoint(found)
        found_of_them += len(set(found) & set(right[:candidates]))
    assert found_of_them / (50 * candidates) >= 0.97


@pytest.mark.parametrize("user", SIZES)
async def test_the_index_is_asked_where_what_is_searched_is_large(
    stores: tuple[Store, Store], database: Database, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    """Own documents, and those of others where they are heard; whether each still holds is not asked."""
    for filters in FILTERS:
        asked = scope(user, **filters)  # type: ignore[arg-type]
        searched = sum(
            row.owner == "here"
            and row.persona in (None, PERSONA)
            and row.audience in asked.audiences
            and (asked.session_id is None or row.session == asked.session_id)
            and (row.user == user or (asked.everybody and row.audience == "public"))
            for row in stores[0].rows
        )
        for large in {max(searched, 1), searched + 1}:
            monkeypatch.setattr(repository, "LARGE", large)
            async with database.transaction("here") as connection:
                assert (await words(connection, asked, "gardens")).is_large == (large <= searched)


async def test_a_small_viewer_is_searched_exactly(stores: tuple[Store, Store], here: AsyncConnection) -> None:
    store = stores[1]
    for vector in clustered(5, WIDE, 5, 11):
        found = await nearest(here, scope("large"), store.question(vector), 100, is_large=False)
        # Half precision leaves near ties to either side.
        assert len(set(found) & set(store.exact("here", scope("large"), vector)[:100])) >= 99


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("analyzed", [False, True])  # first both before anything is counted
async def test_only_a_large_viewers_question_goes_through_the_index(
    stores: tuple[Store, Store], here: AsyncConnection, superuser: AsyncEngine, place: int, analyzed: bool
) -> None:
    """Right after a bulk load, before anything was counted for the planner, and when it knows what there is."""
    if analyzed:
        async with superuser.begin() as connection:
            await connection.execute(text("ANALYZE embeddings, recall_documents"))
    store = stores[place]
    index = f"ix_embeddings_model_{store.model_id}"
    question = store.question(store.vectors[0])
    exact = await plan(here, question, is_large=False)
    assert index not in exact
    # Of an owner's viewers only this one's vectors are read.
    assert "ix_embeddings_owner_id_user_id_model_id" in exact
    assert index in await plan(here, question, is_large=True)
    assert index in await plan(here, question, is_large=True, everybody=True)


async def plan(
    connection: AsyncConnection, question: QuestionVector, *, is_large: bool, everybody: bool = False
) -> str:
    """How PostgreSQL carries the search out."""
    asked = scope("large", everybody=everybody)
    statement = repository.nearest_statement(question, everybody=asked.everybody, is_large=is_large)
    parameters = asked.parameters() | {"vector": question.vector, "candidates": 100}
    explained = text(f"EXPLAIN {statement.text}").bindparams(
        bindparam("audiences", type_=ARRAY(TEXT)),
        bindparam("persona_id", type_=Uuid()),
        bindparam("session_id", type_=Uuid()),
        bindparam("as_of", type_=DateTime(timezone=True)),
    )
    async with connection.begin_nested() as undone:
        if is_large:
            await connection.execute(repository.PREFER_INDEX)
        shown = "\n".join((await connection.scalars(explained, parameters)).all())
        await undone.rollback()
    return shown
