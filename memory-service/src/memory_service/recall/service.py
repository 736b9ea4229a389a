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
from memory_service.llm.tokens import TokenCounter
from memory_service.personas.service import CurrentPersona
from memory_service.recall import hits, questions, repository
from memory_service.recall.context import Form, Remembered, summarised
from memory_service.recall.context import Neighbour as Turn
from memory_service.recall.fusion import DENSE, LEXICAL, PRESETS, ArmScore, Candidate, Fused, age_days, fuse
from memory_service.recall.hits import Found
from memory_service.recall.reasons import why_words_only
from memory_service.recall.repository import QuestionVector, Scope
from memory_service.recall.schemas import (
    Citation,
    Context,
    ContextRequest,
    Listener,
    Neighbour,
    Question,
    Recalled,
    RecallRequest,
)
from memory_service.recall.second_look import OFF, SecondLook

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
    """A question taken apart: what each arm is asked, and what the fusion needs to know of it.

    `periods` are the times it names; `asks_when`: its answer is a time.
    """

    question: Question
    arms: frozenset[str]
    words: repository.Words
    about: questions.About
    periods: Sequence[questions.Period]
    asks_when: bool
    speaker: frozenset[str]
    scope: Scope
    now: datetime


@dataclass(frozen=True, slots=True)
class _Best:
    """What was found, best first, and for which question.

    `cause`: why the dense arm did not run; `looked`: what is to be said of the second look.
    """

    asked: _Asked
    rows: Sequence[tuple[Found, Row[Any]]]
    cause: str | None
    looked: Sequence[str]

    def words_only(self, language: str) -> str | None:
        """The sentence of a recall without its dense arm."""
        return None if self.cause is None else why_words_only(self.cause, language)

    def note(self, language: str) -> str | None:
        """The sentences for a reader; what the request itself switched off is no news."""
        words_only = None if self.cause == "off" else self.words_only(language)
        return "; ".join([*([words_only] if words_only else []), *self.looked]) or None


async def recall(
    connection: AsyncConnection,
    embedder: BackgroundEmbedder,
    persona: CurrentPersona,
    request: RecallRequest,
    look: SecondLook = OFF,
) -> Recalled:
    """What matters of the viewer for the question, best first; nothing for an unknown viewer, or one who opted out."""
    best = await _best(connection, embedder, persona, request, frozenset(request.arms), look)
    if best is None:
        return Recalled(hits=[], note=None)
    why = best.words_only(persona.language)
    shown = [hits.hit(one, row, persona, why, boosts=request.explain) for one, row in best.rows]
    return Recalled(hits=shown, note=best.note(persona.language))


async def context(
    connection: AsyncConnection,
    embedder: BackgroundEmbedder,
    persona: CurrentPersona,
    request: ContextRequest,
    counter: TokenCounter,
    look: SecondLook = OFF,
) -> Context:
    """The same for a prompt: with the turns that complete what was found, as lines under the request's token budget."""
    best = await _best(connection, embedder, persona, request, frozenset({DENSE, LEXICAL}), look)
    if best is None:
        nothing: dict[str, Any] = {"memories": [], "context_summary": "", "citations": [], "tokens": 0}
        return Context(**nothing, counted_by=counter.name, note=None)
    why = best.words_only(persona.language)
    memories = [hits.context_memory(one, row, persona, why, boosts=request.explain) for one, row in best.rows]
    near = await _neighbours(connection, best, persona)
    dated = request.preset == "timeline" or best.asked.asks_when or bool(best.asked.periods)
    summary = summarised(
        [Remembered(one.id, one.source, one.content, one.memory_type == "event", one.created_at) for one in memories],
        near,
        Form(request.max_tokens, counter.count, dated=dated, cited=request.cite),
    )
    told = {line.of.id: line.neighbours for line in summary.lines}
    for one in memories:
        one.neighbours = [Neighbour(id=n.id, content=n.content, place=n.place) for n in told.get(one.id, ())]
    return Context(
        memories=memories,
        context_summary=summary.text,
        citations=[
            Citation(line=number, id=line.of.id, source=line.of.source) for number, line in enumerate(summary.lines, 1)
        ],
        tokens=summary.tokens,
        counted_by=counter.name,
        note=best.note(persona.language),
    )


async def _neighbours(connection: AsyncConnection, best: _Best, persona: CurrentPersona) -> list[Turn]:
    """What completes turns of one side, and is not there already. An exchange whose other side was dropped had one."""
    one_sided = {one.id: row.id for one, row in best.rows if one.source == "memory" or not row.output_text.strip()}
    if not one_sided:
        return []
    there = {row.id for _, row in best.rows}.union(best.asked.question.exclude)
    return [
        Turn(row.id, one_sided[row.hit], hits.told(row, persona.name), row.place)
        for row in await repository.neighbours(connection, best.asked.scope, one_sided)
        if row.id not in there
    ]


async def _best(
    connection: AsyncConnection,
    embedder: BackgroundEmbedder,
    persona: CurrentPersona,
    question: Question,
    arms: frozenset[str],
    look: SecondLook,
) -> _Best | None:
    """The first ones of all that may be recalled; None for a viewer who opted out.

    The dense arm gives every exchange and every current memory a place, however little it shares with the question. For
    memories that neither arm can place, see `_all_that_fit`.
    """
    if await repository.opted_out(connection, question.user_id):
        return None
    text, looked = await look.question(question.query, persona.language, explain=question.explain)
    question = question.model_copy(update={"query": text})
    asked = await _take_apart(connection, persona, question, arms)
    # The model computes while the database counts words: they do not wait for each other.
    embedding = asyncio.create_task(_question_vector(embedder, asked.about.text, DENSE in arms))
    try:
        by_words = await _by_words(connection, asked)
        vector, cause = await embedding
    finally:
        embedding.cancel()
        with suppress(asyncio.CancelledError):
            await embedding
    found = await _placed(connection, asked, by_words, vector)
    exclude, enough = frozenset(question.exclude), look.reach(question.limit)
    best: Sequence[tuple[Found, Row[Any]]] = await hits.first_ones(connection, found, enough, exclude)
    if len(best) < question.limit and (rest := await _all_that_fit(connection, asked, {one.id for one in found})):
        best = await hits.first_ones(connection, [*found, *rest], enough, exclude)
    best, said = await look.order(text, best, persona.name, persona.language)
    return _Best(asked, best[: question.limit], cause, [*looked, *said])


async def _take_apart(
    connection: AsyncConnection, persona: CurrentPersona, question: Question, arms: frozenset[str]
) -> _Asked:
    scope = Scope(
        user_id=question.user_id,
        persona_id=persona.id,
        everybody=question.scope == "everybody",
        session_id=question.session_id,
        audiences=_AUDIENCES[question.listener],
        as_of=question.as_of,
    )
    text = question.query[:_LEXICAL_CHARS]
    words = await repository.words(connection, scope, text)
    possible = questions.possible_speakers(text)
    speakers = await repository.speakers(connection, words.owner_id, scope, possible)
    # Persona and viewer are never what tells two of their memories apart.
    present = {name for name in map(questions.folded, (persona.name, question.user_id)) if name in possible}
    about = questions.about(question.query, speakers | present)
    marks = repository.speaker_terms(connection, words.owner_id, {about.speaker} if about.speaker else ())
    return _Asked(
        question=question,
        arms=arms,
        words=words,
        about=about,
        periods=questions.periods(question.query),
        asks_when=questions.asks_when(question.query),
        speaker=frozenset(marks),
        scope=scope,
        now=question.as_of or datetime.now(UTC),
    )


async def _by_words(connection: AsyncConnection, asked: _Asked) -> Sequence[Row[Any]]:
    if LEXICAL not in asked.arms:
        return []
    return await repository.bm25(connection, asked.scope, asked.words.forms, asked.about.names, _LEXICAL_VOTES)


async def _placed(
    connection: AsyncConnection, asked: _Asked, by_words: Sequence[Row[Any]], vector: QuestionVector | None
) -> list[Found]:
    """What the arms found, in one order, without what the prompt holds already: so many more candidates are asked for."""
    exclude = frozenset(asked.question.exclude)
    dense, words = _DENSE_CANDIDATES + len(exclude), _LEXICAL_CANDIDATES + len(exclude)
    nearest = (
        await repository.nearest(connection, asked.scope, vector, dense, is_large=asked.words.is_large)
        if vector
        else []
    )
    lexical = {row.id: row for row in by_words}
    ids = dict.fromkeys([*nearest, *list(lexical)[:words]])
    rows = await repository.features(connection, asked.scope, ids, vector, asked.speaker) if ids else []
    dense_rank = {document: place for place, document in enumerate(nearest, 1)}
    topics = {row.session_id: row.topic for row in by_words}
    kept = {row.id: row for row in rows if (row.interaction_id or row.memory_id) not in exclude}
    fused = fuse(
        [_candidate(row, lexical.get(row.id), topics, dense_rank.get(row.id), asked) for row in kept.values()],
        PRESETS[asked.question.preset],
        asked.arms,
    )
    return [_found(one, kept[one.candidate.id], lexical.get(one.candidate.id)) for one in fused]


def _found(fused: Fused, row: Row[Any], lexical: Row[Any] | None) -> Found:
    words = () if lexical is None else lexical.words
    if row.memory_id is None:
        return Found(fused, "interaction", row.interaction_id, words)
    return Found(fused, "memory", row.memory_id, words)


def _candidate(
    row: Row[Any],
    lexical: Row[Any] | None,
    topics: Mapping[Any, float],
    dense_rank: int | None,
    asked: _Asked,
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
        date=questions.date_fit(asked.periods, row.said_at),
        tells_when=row.tells_when and asked.asks_when,
        asks=row.asks,
        length=row.length,
        typed=row.memory_id is not None,
        importance=row.importance,
        confidence=row.confidence,
        age_days=age_days(row.said_at, asked.now),
    )


async def _all_that_fit(connection: AsyncConnection, asked: _Asked, placed: Collection[int]) -> list[Found]:
    """Memories to fill what is left of the limit, newest first, with relevance 0: those that neither arm placed.

    Such a memory has no vector yet, or the question has none, and they share no word: it cannot be compared with others.
    Where the viewer's memories number no more than the limit there is nothing to choose, and what was stored a moment ago
    is told. Where there are more, any choice would be a guess: they wait for their vectors. A request for one arm, one
    session, another listener or another time asks for no more than that finds.
    """
    question = asked.question
    plain = question.listener == "viewer" and question.as_of is None and question.session_id is None
    if asked.arms != {DENSE, LEXICAL} or not plain:
        return []
    few = await repository.few_memories(connection, question.user_id, asked.scope.persona_id, question.limit)
    return [
        Found(Fused(Candidate(one.id, {}), 0.0), "memory", one.memory_id, ()) for one in few if one.id not in placed
    ]


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
