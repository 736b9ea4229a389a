"""Question in, explained memories out."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.embedder import EMBEDDING_ERRORS, EmbedderNotReady
from memory_service.embeddings.vectors import vector_text
from memory_service.personas.service import CurrentPersona
from memory_service.recall import hits, repository
from memory_service.recall.forms import forms
from memory_service.recall.fusion import DENSE, LEXICAL, WEIGHTS, ArmScore, Candidate, Fused, Range, fuse
from memory_service.recall.hits import Found
from memory_service.recall.reasons import context_summary, why_words_only
from memory_service.recall.schemas import Context, ContextMemory, Recalled, RecallRequest

log = logging.getLogger(__name__)

# What each arm hands to the fusion: 50, 100 and 200 gave the same recall@5, @10 and @20 as all rows (LoCoMo development
# conversations); a request for 100 memories needs at least as many.
_CANDIDATES = 100
# The embedder answers in some 20 ms; when it takes this long something is wrong, and words alone are better than waiting.
_EMBED_WITHIN_SECONDS = 2.0
# A question is a sentence or two. Of a pasted wall of text the first words are looked up, which bounds the work per row;
# the embedding model reads no further than about 256 tokens either.
_LEXICAL_CHARS = 1000


async def recall(
    connection: AsyncConnection, embedder: BackgroundEmbedder, persona: CurrentPersona, request: RecallRequest
) -> Recalled:
    """What matters of the viewer for the question, best first; nothing for an unknown viewer.

    The dense arm gives every exchange and every current memory a place, however little it shares with the question. For
    memories that neither arm can place, see `_all_that_fit`.
    """
    vector, cause = (None, "off") if DENSE not in request.arms else await _question_vector(embedder, request.query)
    question = repository.Question(
        forms=await forms(connection, request.query[:_LEXICAL_CHARS] if LEXICAL in request.arms else ""),
        vector=vector,
        model_id=embedder.model_id,
        user_id=request.user_id,
        persona_id=persona.id,
        session_id=request.session_id,
        candidates=_CANDIDATES,
    )
    rows = {row.id: row for row in await repository.candidates(connection, question)}
    fused = fuse([_candidate(row) for row in rows.values()], _ranges(rows), WEIGHTS)
    found = [Found(one, rows[one.candidate.id].source, rows[one.candidate.id].words or ()) for one in fused]
    best = await hits.first_ones(connection, found, request.limit)
    if len(best) < request.limit and (rest := await _all_that_fit(connection, request, persona, rows)):
        best = await hits.first_ones(connection, [*found, *rest], request.limit)
    note = None if cause is None else why_words_only(cause, persona.language)
    shown = [hits.hit(one, row, persona, note) for one, row in best]
    return Recalled(hits=shown, note=None if cause == "off" else note)


async def _all_that_fit(
    connection: AsyncConnection, request: RecallRequest, persona: CurrentPersona, placed: Collection[UUID]
) -> list[Found]:
    """Memories to fill what is left of the limit, newest first, with relevance 0: those that neither arm placed.

    Such a memory has no vector yet, or the question has none, and they share no word: it cannot be compared with others.
    Where the viewer's memories number no more than the limit there is nothing to choose, and what was stored a moment ago
    is told. Where there are more, any choice would be a guess: they wait for their vectors. A request for one arm or one
    session asks for no more than that finds.
    """
    if request.arms != {DENSE, LEXICAL} or request.session_id is not None:
        return []
    few = await repository.few_memories(connection, request.user_id, persona.id, request.limit)
    return [Found(Fused(Candidate(one, {}), 0.0), "memory", ()) for one in few if one not in placed]


def as_context(recalled: Recalled) -> Context:
    """The same for a prompt."""
    memories = [ContextMemory.model_validate(hit, from_attributes=True) for hit in recalled.hits]
    return Context(memories=memories, context_summary=context_summary(memories), note=recalled.note)


async def _question_vector(embedder: BackgroundEmbedder, query: str) -> tuple[str | None, str | None]:
    """The question's vector as PostgreSQL reads it, or why there is none."""
    try:
        async with asyncio.timeout(_EMBED_WITHIN_SECONDS):
            return vector_text((await embedder.embed([query], "question"))[0].tolist()), None
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


def _candidate(row: Row[Any]) -> Candidate:
    scores = {}
    if row.dense_rank is not None:
        scores[DENSE] = ArmScore(row.dense_rank, row.dense_score)
    if row.lexical_rank is not None:
        scores[LEXICAL] = ArmScore(row.lexical_rank, row.lexical_score)
    return Candidate(row.id, scores)


def _ranges(rows: dict[Any, Row[Any]]) -> dict[str, Range]:
    """The range of each arm that answered. A row without any shared word has lexical score 0."""
    any_row = next(iter(rows.values()), None)
    ranges = {}
    if any_row is not None and any_row.dense_high is not None:
        ranges[DENSE] = Range(any_row.dense_low, any_row.dense_high)
    if any_row is not None and any_row.lexical_high is not None:
        ranges[LEXICAL] = Range(0.0, any_row.lexical_high)
    return ranges
