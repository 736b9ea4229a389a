"""Question in, explained memories out."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.embeddings.embedder import EMBEDDING_ERRORS, EmbedderNotReady
from memory_service.embeddings.vectors import vector_text
from memory_service.personas.service import CurrentPersona
from memory_service.recall import repository
from memory_service.recall.fusion import DENSE, LEXICAL, WEIGHTS, ArmScore, Candidate, Fused, Range, fuse
from memory_service.recall.reasons import context_summary, reason, why_words_only
from memory_service.recall.schemas import (
    ArmExplanation,
    Context,
    ContextMemory,
    Explanation,
    Hit,
    Recalled,
    RecallRequest,
)

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
    """The viewer's exchanges that matter for the question, best first; none for an unknown viewer."""
    vector, cause = (None, "off") if DENSE not in request.arms else await _question_vector(embedder, request.query)
    question = repository.Question(
        text=request.query[:_LEXICAL_CHARS] if LEXICAL in request.arms else "",
        vector=vector,
        model_id=embedder.model_id,
        user_id=request.user_id,
        persona_id=persona.id,
        session_id=request.session_id,
        candidates=_CANDIDATES,
    )
    rows = {row.id: row for row in await repository.candidates(connection, question)}
    fused = fuse([_candidate(row) for row in rows.values()], _ranges(rows), WEIGHTS)
    best = _without_repeats(fused, {row.id: row.content_hash for row in rows.values()})[: request.limit]
    exchanges = await repository.exchanges(connection, [one.candidate.id for one in best])
    note = None if cause is None else why_words_only(cause, persona.language)
    hits = [
        _hit(one, rows[one.candidate.id].words or (), exchanges[one.candidate.id], persona, note)
        for one in best
        if one.candidate.id in exchanges
    ]
    return Recalled(hits=hits, note=None if cause == "off" else note)


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


def _without_repeats(fused: Sequence[Fused], content: Mapping[UUID, bytes]) -> list[Fused]:
    """The same words said twice are one memory: the first (equal scores: the newest) stands for all."""
    first = {content[one.candidate.id]: one for one in reversed(fused)}
    return [one for one in fused if first[content[one.candidate.id]] is one]


def _ranges(rows: dict[Any, Row[Any]]) -> dict[str, Range]:
    """The range of each arm that answered. An exchange without any shared word has lexical score 0."""
    any_row = next(iter(rows.values()), None)
    ranges = {}
    if any_row is not None and any_row.dense_high is not None:
        ranges[DENSE] = Range(any_row.dense_low, any_row.dense_high)
    if any_row is not None and any_row.lexical_high is not None:
        ranges[LEXICAL] = Range(0.0, any_row.lexical_high)
    return ranges


def _hit(fused: Fused, words: Any, exchange: Row[Any], persona: CurrentPersona, note: str | None) -> Hit:
    dense, lexical = fused.candidate.scores.get(DENSE), fused.candidate.scores.get(LEXICAL)
    sentence = reason((dense.rank, dense.score) if dense else None, words, persona.language, words_only=note)
    score = round(fused.score, 6)
    return Hit(
        id=exchange.id,
        content=_content(exchange, persona.name),
        created_at=exchange.occurred_at,
        relevance_score=score,
        session_id=exchange.session_id,
        explain=Explanation(dense=_explained(dense), lexical=_explained(lexical), fused=score, reason=sentence),
        user_id=exchange.user_id,
        input_text=exchange.input_text,
        output_text=exchange.output_text,
        dropped=exchange.dropped,
        quality_score=exchange.quality_score,
    )


def _explained(score: ArmScore | None) -> ArmExplanation | None:
    return ArmExplanation(rank=score.rank, score=round(score.score, 6)) if score else None


def _content(exchange: Row[Any], persona_name: str) -> str:
    """Both sides, or the viewer's alone: a dropped reply (an error, a refusal) must not teach her that she talks so."""
    said = f"{exchange.user_id}: {exchange.input_text.strip()}"
    if exchange.dropped or not exchange.output_text.strip():
        return said
    return f"{said}\n{persona_name}: {exchange.output_text.strip()}"
