"""BM25 in PostgreSQL: equal to a library's on whatever is stored, whatever was done to it, at a bounded cost."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import bm25s
import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_service.db import Database
from memory_service.encryption.blind_index import blind_tokens
from memory_service.encryption.cipher import Cipher
from memory_service.recall import repository
from memory_service.recall.repository import K1, B, Scope
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .conftest import Service
from .corpus import START, WORDS, Corpus, Op, histories

ALL = 1_000
RANDOM = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
QUESTIONS = st.lists(st.sampled_from([*WORDS, "unsaid"]), min_size=1, max_size=5, unique=True)
LISTENERS = st.sampled_from([("viewer", "public"), ("viewer", "streamer", "public"), ("public",)])

# recall_documents and recall_terms as they would be if the texts were read anew; rows are (what, values).
_SHOULD = """
    WITH source AS (
        SELECT known.id, input_text || CASE output_text WHEN '' THEN '' ELSE chr(30) || output_text END AS said, s.user_id,
               s.persona_id, s.session_id, occurred_at AS said_at, CAST(NULL AS timestamptz) AS valid_to,
               CAST(NULL AS timestamptz) AS expires_at, false AS is_deleted, s.audience
        FROM interactions AS s LEFT JOIN recall_documents AS known ON interaction_id = s.id
        UNION ALL
        SELECT known.id, content, s.user_id, s.persona_id, md5(s.user_id || chr(31) || (metadata ->> 'session'))::uuid,
               valid_from, s.valid_to, s.expires_at, s.is_deleted, s.audience
        FROM memories AS s LEFT JOIN recall_documents AS known ON memory_id = s.id
    ),
    counted AS (
        SELECT source.id, source.user_id, audience, whole.term, whole.times, coalesce(ending.times, 0) AS end_times
        FROM source
        CROSS JOIN LATERAL f_terms(said) AS whole
        LEFT JOIN LATERAL f_terms(f_end(said)) AS ending ON ending.term = whole.term AND whole.term NOT LIKE '@%'
    )
    SELECT 'term' AS what, to_jsonb(ARRAY[id::text, shelf, term, times::text, end_times::text]) AS row
    FROM counted CROSS JOIN unnest(CASE audience WHEN 'public' THEN ARRAY[user_id, ''] ELSE ARRAY[user_id] END) AS shelf
    UNION ALL
    SELECT 'document', to_jsonb(source) - 'said' || jsonb_build_object(
        'length', (SELECT coalesce(sum(times), 0) FROM counted WHERE id = source.id AND term NOT LIKE '@%'),
        'end_length', (SELECT coalesce(sum(end_times), 0) FROM counted WHERE id = source.id),
        'asks', EXISTS (SELECT FROM counted WHERE id = source.id AND term = '@asks'),
        'tells_when', EXISTS (SELECT FROM counted WHERE id = source.id AND term = '@when'))
    FROM source
"""
_IS = """
    SELECT 'term' AS what, to_jsonb(ARRAY[document_id::text, shelf, term, times::text, end_times::text]) AS row
    FROM recall_terms
    UNION ALL
    SELECT 'document', to_jsonb(known) - 'owner_id' - 'interaction_id' - 'memory_id' FROM recall_documents AS known
"""


@asynccontextmanager
async def fresh(database: Database) -> AsyncIterator[Corpus]:
    """An empty corpus of a new owner, taken back afterwards; another owner's Luna has said every word."""
    async with database.engine.connect() as connection, connection.begin() as transaction:
        other = Corpus(connection, f"other-{uuid4().hex}")
        await other.open()
        for kind in ("memory", "interaction"):
            said = {"kind": kind, "user": "luna", "persona": "casiopy", "session": "a", "audience": "public"}
            await other.say(said | {"words": WORDS, "at": START})
        corpus = Corpus(connection, f"owner-{uuid4().hex}")
        await corpus.open()
        yield corpus
        await transaction.rollback()


def reference(corpus: dict[UUID, list[str]], question: Sequence[str]) -> tuple[dict[UUID, float], float]:
    """The library's score of each document above 0, and what the words of the question are worth together."""
    said = [set(words) for words in corpus.values()]
    count = len(said)
    worth = 0.0
    for word in question:
        within = sum(word in words for words in said)
        worth += math.log(1 + (count - within + 0.5) / (within + 0.5))
    known = [word for word in question if any(word in words for words in said)]
    if not known:
        return {}, worth
    index = bm25s.BM25(method="lucene", k1=K1, b=B, dtype="float64")
    index.index(list(corpus.values()), show_progress=False)
    scores = index.get_scores(known)
    return {key: float(score) for key, score in zip(corpus, scores, strict=True) if score > 0}, worth


async def ours(
    corpus: Corpus, question: Sequence[str], *, everybody: bool = False, audiences: Sequence[str] = ("viewer", "public")
) -> list[Any]:
    """What recall's statement finds of Luna's with Casiopy, each with the id of what it is made of."""
    scope = Scope("luna", corpus.persona_ids["casiopy"], everybody, None, audiences, None)
    asked = await repository.words(corpus.connection, scope, " ".join(question))
    return list(await repository.bm25(corpus.connection, scope, asked.forms, (), ALL))


async def sources(corpus: Corpus) -> dict[int, UUID]:
    rows = await corpus.connection.execute(
        text("SELECT id, coalesce(interaction_id, memory_id) AS source FROM recall_documents")
    )
    return {row.id: row.source for row in rows}


async def assert_equal(corpus: Corpus, question: Sequence[str], everybody: bool, audiences: Sequence[str]) -> None:
    """Scores, ranks, shares and shared words are those of the library."""
    readable = corpus.readable(everybody, audiences)
    expected, worth = reference(readable, question)
    found = await ours(corpus, question, everybody=everybody, audiences=audiences)
    by_id = await sources(corpus)
    assert {by_id[row.id]: row.score for row in found} == pytest.approx(expected, rel=1e-5)
    for row in found:
        better = sum(score > row.score * (1 + 1e-9) for score in expected.values())
        as_good = sum(score >= row.score * (1 - 1e-9) for score in expected.values())
        assert better < row.rank <= as_good  # equal but for the last bit of a sum
        assert row.share == pytest.approx(expected[by_id[row.id]] / worth, rel=1e-5)
        assert 0 < row.share <= 1
        assert set(row.words) == set(question) & set(readable[by_id[row.id]])
    assert [row.score for row in found] == sorted((row.score for row in found), reverse=True)


async def assert_as_built_anew(corpus: Corpus) -> None:
    """Documents and terms are what the texts say, no row more and none less."""
    for these, others in ((_IS, _SHOULD), (_SHOULD, _IS)):
        rows = await corpus.connection.execute(text(f"({these}) EXCEPT ALL ({others})"))
        assert rows.all() == []


async def test_the_words_have_one_form_each(database: Database) -> None:
    async with database.unowned() as connection:
        for said in (" ".join(WORDS), "el la de que " + " ".join(WORDS), "the of is and " + " ".join(WORDS)):
            rows = await connection.execute(text("SELECT term, times FROM f_terms(:said)"), {"said": said})
            assert {row.term: row.times for row in rows} == dict.fromkeys(WORDS, 1)


@given(
    ops=histories(["memory"], [None]),
    question=QUESTIONS,
    everybody=st.booleans(),
    audiences=LISTENERS,
)
@RANDOM
async def test_typed_memories_score_as_in_the_library(
    database: Database, ops: list[Op], question: list[str], everybody: bool, audiences: Sequence[str]
) -> None:
    async with fresh(database) as corpus:
        await corpus.apply(ops)
        await assert_equal(corpus, question, everybody, audiences)
        await assert_as_built_anew(corpus)


@given(
    ops=histories(["memory", "interaction"], ["a", "b"]),
    question=QUESTIONS,
    everybody=st.booleans(),
    audiences=LISTENERS,
)
@RANDOM
async def test_a_turn_is_read_with_the_end_of_the_one_before(
    database: Database, ops: list[Op], question: list[str], everybody: bool, audiences: Sequence[str]
) -> None:
    async with fresh(database) as corpus:
        await corpus.apply(ops)
        await assert_equal(corpus, question, everybody, audiences)
        await assert_as_built_anew(corpus)


@given(ops=histories(["memory", "interaction"], ["a", "b"]), question=QUESTIONS)
@settings(RANDOM, max_examples=20)
async def test_an_encrypted_store_ranks_alike(migrated_url: str, ops: list[Op], question: list[str]) -> None:
    cipher = Cipher([Fernet.generate_key().decode()])
    cipher.sealed_index_key()  # makes one
    locked = Database(migrated_url, cipher=cipher)
    async with fresh(locked) as corpus:
        await corpus.apply(ops)
        plain = await ours(corpus, question, everybody=True)
        await encrypt(corpus)
        assert await ours(corpus, question, everybody=True) == plain
        stored = (await corpus.connection.scalars(text("SELECT term FROM recall_terms"))).all()
        assert not set(stored) & set(WORDS)
    await locked.close()


async def encrypt(corpus: Corpus) -> None:
    """What was written in plain as the service stores it under a key: no word, but a token for each."""
    for said in corpus.documents:
        half = len(said.words) // 2 + 1 if said.kind == "interaction" else ALL
        sides = [side for side in (" ".join(said.words[:half]), " ".join(said.words[half:])) if side]
        (tokens,) = await blind_tokens(corpus.connection, corpus.owner, [chr(30).join(sides)])
        table, columns = ("memories", "content") if said.kind == "memory" else ("interactions", "input_text")
        await corpus.run(
            f"UPDATE {table} SET {columns} = 'enc1~', blind = CAST(:blind AS tsvector), blind_end = CAST(:end AS tsvector) "
            "WHERE id = :id",
            blind=tokens.blind,
            end=tokens.blind_end,
            id=said.source,
        )


async def written(connection: AsyncConnection) -> dict[str, int]:
    """Rows of recall's tables that were written since the transaction began: added, changed and deleted."""
    rows = await connection.execute(
        text("""
        SELECT relname, n_tup_ins + n_tup_upd + n_tup_del AS rows FROM pg_stat_xact_user_tables
        WHERE relname IN ('recall_documents', 'recall_terms')
        """)
    )
    return {row.relname: row.rows for row in rows}


@pytest.mark.parametrize(
    ("change", "documents", "terms"),
    [
        ("INSERT", 1, 3),
        ("INSERT public", 1, 6),  # on her own shelf and on everybody's
        (
            "UPDATE interactions SET input_text = 'flup grok'",
            1,
            8 + 5,
        ),  # what it had leaves; three words are the reply's
        ("UPDATE interactions SET quality_score = 0.5, embedding_status = 'done'", 0, 0),
        ("DELETE FROM interactions", 1, 8),
        ("UPDATE memories SET is_deleted = true", 1, 8 + 8),
        ("UPDATE memories SET confidence = 0.5, updated_at = now()", 0, 0),
    ],
)
async def test_a_change_writes_rows_for_itself_only(
    database: Database, change: str, documents: int, terms: int
) -> None:
    async with fresh(database) as corpus:
        one = {"user": "luna", "persona": "casiopy", "session": "a", "at": START, "audience": "viewer", "words": WORDS}
        for number in range(60):
            await corpus.say(one | {"kind": ("memory", "interaction")[number % 2]})
        before = await written(corpus.connection)
        if change.startswith("INSERT"):
            audience = "public" if "public" in change else "viewer"
            await corpus.say(one | {"kind": "interaction", "words": WORDS[:3], "audience": audience})
        else:
            kind = "memory" if "memories" in change else "interaction"
            chosen = next(said for said in corpus.documents if said.kind == kind)
            await corpus.run(f"{change} WHERE id = :id", id=chosen.source)
        after = await written(corpus.connection)
        assert {table: after[table] - before[table] for table in after} == {
            "recall_documents": documents,
            "recall_terms": terms,
        }


async def test_erasing_a_viewer_leaves_no_word(service: Service, owner: str, superuser: AsyncEngine) -> None:
    async with service(owner) as caller:
        for viewer, audience in (("luna", "viewer"), ("luna", "public"), ("sol", "public")):
            await caller.tell(viewer, f"El gato {audience}.", audience=audience)
            await caller.remember(viewer, f"Tiene un gato {audience}", audience=audience)
        await caller.embedded()
        (await caller.http.delete("/gdpr/delete", params={"user_id": "luna"})).raise_for_status()
        async with superuser.connect() as connection:
            kept = text("""
                SELECT user_id, count(*) FROM recall_documents WHERE owner_id = :owner GROUP BY user_id
                UNION ALL
                SELECT 'terms', count(DISTINCT document_id) FROM recall_terms WHERE owner_id = :owner
                UNION ALL
                SELECT 'vectors', count(*) FROM embeddings WHERE owner_id = :owner
            """)
            rows = (await connection.execute(kept, {"owner": owner})).all()
        assert rows == [("sol", 2), ("terms", 2), ("vectors", 2)]
