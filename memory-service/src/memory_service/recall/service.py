"""Question in, explained memories out."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.embedder import EMBEDDING_ERRORS, EmbedderNotReady
from memory_service.embeddings.vectors import vector_text
from memory_service.personas.service import CurrentPersona
from memory_service.recall import hits, questions, repository
from memory_service.recall.fusion import DENSE, LEXICAL, PRESETS, ArmScore, Candidate, Fused, age_days, fuse
from memory_service.recall.hits import Found
from memory_service.recall.reasons import context_summary, why_words_only
from memory_service.recall.repository import QuestionVector, Scope
from memory_service.recall.schemas import Context, ContextMemory, Listener, Recalled, RecallRequest

log = logging.getLogger(__name__)

# What each arm hands to the fusion. On the LoCoMo development conversations 100 gave the recall@5, @10 and @20 of all rows to
# .002 (50: .006 less); a request for 100 memories needs at least as many. Lexical rows are cheap, and a document that the
# dense arm brings should keep its words.
_DENSE_CANDIDATES, _LEXICAL_CANDIDATES, _LEXICAL_VOTES = 100, 100, 300
# The embedder answers in some 20 ms; when it takes this long something is wrong, and words alone are better than waiting.
_EMBED_WITHIN_SECONDS = 2.0
# A question is a sentence or two. Of a pasted wall of text the first words are looked up, which bounds the work per row;
# the embedding model reads no further than about 256 tokens either.
_LEXICAL_CHARS = 1000
# For whose ears a document may be meant to be told to a listener.
_AUDIENCES: Mapping[Listener, tuple[str, ...]] = {
    "viewer": ("viewer", "public"),
    "streamer": ("viewer", "streamer", "public"),
    "public": ("public",),
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question taken apart: what each arm is asked, and what the fusion needs to know of it."""

    words: repository.Words
    about: questions.About
    speaker: frozenset[str]
    scope: Scope


async def recall(
    connection: AsyncConnection, embedder: BackgroundEmbedder, persona: CurrentPersona, request: RecallRequest
) -> Recalled:
    """What matters of the viewer for the question, best first; nothing for an unknown viewer, or one who opted out.

    The dense arm gives every exchange and every current memory a place, however little it shares with the question. For
    memories that neither arm can place, see `_all_that_fit`.
    """
    if await repository.opted_out(connection, request.user_id):
        return Recalled(hits=[], note=None)
    asked = await _take_apart(connection, persona, request)
    # The model computes while the database counts words: they do not wait for each other.
    embedding = asyncio.create_task(_question_vector(embedder, asked.about.text, DENSE in request.arms))
    try:
        by_words = await _by_words(connection, asked, LEXICAL in request.arms)
        vector, cause = await embedding
    finally:
        embedding.cancel()
        with suppress(asyncio.CancelledError):
            await embedding
    found = await _placed(connection, asked, by_words, vector, request)
    best = await hits.first_ones(connection, found, request.limit)
    if len(best) < request.limit and (
        rest := await _all_that_fit(connection, request, persona, {one.id for one in found})
    ):
        best = await hits.first_ones(connection, [*found, *rest], request.limit)
    note = None if cause is None else why_words_only(cause, persona.language)
    shown = [hits.hit(one, row, persona, note, boosts=request.explain) for one, row in best]
    return Recalled(hits=shown, note=None if cause == "off" else note)


async def _take_apart(connection: AsyncConnection, persona: CurrentPersona, request: RecallRequest) -> _Asked:
    scope = Scope(
        user_id=request.user_id,
        persona_id=persona.id,
        everybody=request.scope == "everybody",
        session_id=request.session_id,
        audiences=_AUDIENCES[request.listener],
        as_of=request.as_of,
    )
    words = await repository.words(connection, request.user_id, request.query[:_LEXICAL_CHARS])
    possible = questions.possible_speakers(request.query[:_LEXICAL_CHARS])
    speakers = await repository.speakers(connection, words.owner_id, scope, possible)
    # Persona and viewer are never what tells two of their memories apart.
    present = {name for name in map(questions.folded, (persona.name, request.user_id)) if name in possible}
    about = questions.about(request.query, speakers | present)
    marks = repository.speaker_terms(connection, words.owner_id, {about.speaker} if about.speaker else ())
    return _Asked(words, about, frozenset(marks), scope)


async def _by_words(connection: AsyncConnection, asked: _Asked, wanted: bool) -> Sequence[Row[Any]]:
    if not wanted:
        return []
    return await repository.bm25(connection, asked.scope, asked.words.forms, asked.about.names, _LEXICAL_VOTES)


async def _placed(
    connection: AsyncConnection,
    asked: _Asked,
    by_words: Sequence[Row[Any]],
    vector: QuestionVector | None,
    request: RecallRequest,
) -> list[Found]:
    """What the arms found, in one order."""
    nearest = (
        await repository.nearest(connection, asked.scope, vector, _DENSE_CANDIDATES, is_large=asked.words.is_large)
        if vector
        else []
    )
    lexical = {row.id: row for row in by_words}
    ids = dict.fromkeys([*nearest, *list(lexical)[:_LEXICAL_CANDIDATES]])
    rows = await repository.features(connection, asked.scope, ids, vector, asked.speaker) if ids else []
    dense_rank = {document: place for place, document in enumerate(nearest, 1)}
    topics = {row.session_id: row.topic for row in by_words}
    candidates = [_candidate(row, lexical.get(row.id), topics, dense_rank.get(row.id), request) for row in rows]
    sources = {row.id: "interaction" if row.memory_id is None else "memory" for row in rows}
    return [
        Found(one, sources[one.candidate.id], lexical[one.candidate.id].words if one.candidate.id in lexical else ())  # type: ignore[arg-type]
        for one in fuse(candidates, PRESETS[request.preset], frozenset(request.arms))
    ]


def _candidate(
    row: Row[Any],
    lexical: Row[Any] | None,
    topics: Mapping[Any, float],
    dense_rank: int | None,
    request: RecallRequest,
) -> Candidate:
    scores = {}
    if row.cosine is not None:
        scores[DENSE] = ArmScore(dense_rank, row.cosine)
    if lexical is not None:
        scores[LEXICAL] = ArmScore(lexical.rank, lexical.score)
    return Candidate(
        id=row.id,
        scores=scores,
        cosine=row.cosine,
        best=row.best,
        previous=row.previous_cosine,
        share=lexical.share if lexical is not None else 0.0,
        topic=topics.get(row.session_id, 0.0),
        spoken=row.spoken,
        date=questions.date_fit(questions.periods(request.query), row.said_at),
        tells_when=row.tells_when and questions.asks_when(request.query),
        asks=row.asks,
        length=row.length,
        typed=row.memory_id is not None,
        importance=row.importance,
        confidence=row.confidence,
        age_days=age_days(row.said_at, request.as_of or datetime.now(UTC)),
    )


async def _all_that_fit(
    connection: AsyncConnection, request: RecallRequest, persona: CurrentPersona, placed: Collection[int]
) -> list[Found]:
    """Memories to fill what is left of the limit, newest first, with relevance 0: those that neither arm placed.

    Such a memory has no vector yet, or the question has none, and they share no word: it cannot be compared with others.
    Where the viewer's memories number no more than the limit there is nothing to choose, and what was stored a moment ago
    is told. Where there are more, any choice would be a guess: they wait for their vectors. A request for one arm, one
    session, another listener or another time asks for no more than that finds.
    """
    plain = request.listener == "viewer" and request.as_of is None and request.session_id is None
    if request.arms != {DENSE, LEXICAL} or not plain:
        return []
    few = await repository.few_memories(connection, request.user_id, persona.id, request.limit)
    return [Found(Fused(Candidate(one, {}), 0.0), "memory", ()) for one in few if one not in placed]


def as_context(recalled: Recalled) -> Context:
    """The same for a prompt."""
    memories = [ContextMemory.model_validate(hit, from_attributes=True) for hit in recalled.hits]
    return Context(memories=memories, context_summary=context_summary(memories), note=recalled.note)


async def _question_vector(
    embedder: BackgroundEmbedder, query: str, wanted: bool
) -> tuple[QuestionVector | None, str | None]:
    """The question's vector, or why there is none."""
    if not wanted:
        return None, "off"
    try:
        async with asyncio.timeout(_EMBED_WITHIN_SECONDS):
            vector = (await embedder.embed([query], "question"))[0].tolist()
    except EmbedderNotReady:
        return None, "loading" if embedder.health().status == "loading" else "failed"
    except TimeoutError:
        log.warning(
            "The embedder took more than %.0f s for a question; recall went by words alone", _EMBED_WITHIN_SECONDS
        )
        return None, "slow"
    except EMBEDDING_ERRORS:
        log.exception("A question could not be embedded; recall went by words alone")
        return None, "failed"
    assert embedder.model_id is not None  # noqa: S101  (it embeds, so it was agreed on)
    return QuestionVector(vector_text(vector), embedder.model_id, len(vector)), None
