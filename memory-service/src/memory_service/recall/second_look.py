"""What may improve a recall and costs time: a question put better before the search, an order read again after it.

Both are off until a setting switches them on. Either is one attempt within its own time; what cannot be had in it is left as
it was, and the answer's note says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy.engine import Row

from memory_service.metrics import SECOND_LOOKS
from memory_service.recall import hits
from memory_service.recall.hits import Found
from memory_service.recall.reordering import reordered

Given_contra = TypeVar("Given_contra", contravariant=True)
Made_co = TypeVar("Made_co", covariant=True)
Placed = tuple[Found, Row[Any]]


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Made_co]):
    """What an attempt made; `cause` (a key of `_WHY`) when that is nothing, or not all that was asked for."""

    made: Made_co | None
    cause: str | None = None


class Attempt(Protocol[Given_contra, Made_co]):
    """One optional step of a recall."""

    async def attempt(self, given: Given_contra) -> Outcome[Made_co]:
        """What can be made of `given` within the step's time. Never raises for what a model or its server does wrong."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it was asked, and the language of the memories it is about (ISO code)."""

    text: str
    language: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A question, and the texts to hold against it, the most promising first."""

    question: str
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class SecondLook:
    """The optional steps of a recall; None is off.

    Attributes:
        rewrite: makes a better question.
        rerank: one score per text, higher is better, of the first texts it comes to.
        candidates: texts read again at most.
    """

    rewrite: Attempt[Asked, str] | None = None
    rerank: Attempt[Reading, Sequence[float]] | None = None
    candidates: int = 0

    async def question(self, text: str, language: str, *, explain: bool) -> tuple[str, list[str]]:
        """The question to search with, and what the answer's note must say of it."""
        if self.rewrite is None:
            return text, []
        outcome = await self.rewrite.attempt(Asked(text, language))
        SECOND_LOOKS.labels("rewrite", outcome.cause or "done").inc()
        if outcome.made is None:
            return text, [_sentence("as_asked", outcome.cause, language)]
        told = _sentence("asked", None, language, question=outcome.made)
        return outcome.made, [told] if explain else []

    def reach(self, limit: int) -> int:
        """How many must be found for an answer of `limit`."""
        return limit if self.rerank is None else max(limit, self.candidates)

    async def order(
        self, question: str, found: Sequence[Placed], persona_name: str, language: str
    ) -> tuple[Sequence[Placed], list[str]]:
        """`found` in the order they have after a second look at the first ones, and what the note must say of it."""
        if self.rerank is None or not found:
            return found, []
        again = found[: self.candidates]
        texts = [hits.content(one, row, persona_name) for one, row in again]
        outcome = await self.rerank.attempt(Reading(question, texts))
        SECOND_LOOKS.labels("rerank", outcome.cause or "done").inc()
        scores = outcome.made or ()
        fused = reordered([one.fused for one, _ in again], scores)
        places = {one.id: (one, row) for one, row in again}
        first = [(replace(places[one.candidate.id][0], fused=one), places[one.candidate.id][1]) for one in fused]
        if outcome.cause is None:
            return [*first, *found[len(again) :]], []
        how = "some" if scores else "none"
        told = _sentence(how, outcome.cause, language, done=len(scores), all=len(again))
        return [*first, *found[len(again) :]], [told]


OFF = SecondLook()

_SENTENCES: Mapping[str, Mapping[str, str]] = {
    "es": {
        "as_asked": "se buscó la pregunta tal cual: {why}",
        "asked": "se buscó «{question}»",
        "none": "sin segunda lectura: {why}",
        "some": "segunda lectura solo de los {done} primeros de {all}: {why}",
    },
    "en": {
        "as_asked": "searched the question as it was asked: {why}",
        "asked": "searched “{question}”",
        "none": "not reranked: {why}",
        "some": "only the first {done} of {all} reranked: {why}",
    },
}
_WHY: Mapping[str, Mapping[str, str]] = {
    "es": {
        "loading": "el modelo de RERANK_MODEL aún se está cargando",
        "failed": "no hay modelo de RERANK_MODEL (véase /health)",
        "slow": "el modelo de RERANK_MODEL no acabó a tiempo",
        "broken": "el modelo de RERANK_MODEL no pudo leer los textos",
        "late": "el modelo de lenguaje no contestó a tiempo",
        "unavailable": "el modelo de lenguaje no está disponible",
        "unusable": "el modelo de lenguaje no dio una pregunta",
        "too_long": "es demasiado larga para reescribirla",
    },
    "en": {
        "loading": "the model of RERANK_MODEL is still loading",
        "failed": "there is no model of RERANK_MODEL (see /health)",
        "slow": "the model of RERANK_MODEL did not finish in time",
        "broken": "the model of RERANK_MODEL could not read the texts",
        "late": "the language model did not answer in time",
        "unavailable": "the language model is not available",
        "unusable": "the language model gave no question",
        "too_long": "it is too long to be rewritten",
    },
}


def _sentence(what: str, cause: str | None, language: str, **facts: object) -> str:
    known = language if language in _SENTENCES else "en"
    why = _WHY[known][cause] if cause is not None else ""
    return _SENTENCES[known][what].format(why=why, **facts)
