"""Statements read by a language model: one call, an answer of one shape, and nothing believed without its evidence."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memory_service.extraction.operations import Event
from memory_service.extraction.prompt import ANSWER_TOKENS, SCHEMA, Remembered, fits, messages, numbered
from memory_service.extraction.statements import Statement
from memory_service.fields import storable
from memory_service.llm.model import LanguageModel, ModelAnswerUnusable, ModelUnavailable
from memory_service.memories.profile import FIELDS
from memory_service.scoring.text import fold
from memory_service.scoring.text import words as folded_words

Outcome = Literal["extracted", "nothing", "partial", "unavailable", "unusable", "too_long"]

# A memory is a value, not a paragraph.
_LONGEST_VALUE = 300
# Names are remembered as they were said; a model that answers with another one made it up.
_VERBATIM = frozenset({"name", "company"})
# What these say is often in no word of the message: "no como carne" is vegetarian. A liked thing is always named.
_PARAPHRASED = {"age", "birthday", "gender", "nationality", "education", "personality_traits", "habits", "goals"}
_PARAPHRASED |= {"diet", "exercise", "work_style"}
# Spanish and English inflect at the end: `programo` bears out `programadora`.
_STEM = 4
_AGES = range(1, 131)
# Below 1.0, what a client states itself: a reading, however well borne out, may be wrong.
_CONFIDENCE = 0.9


class ModelOperation(BaseModel):
    """One operation as the model gives it."""

    model_config = ConfigDict(extra="forbid")

    operation: Event
    field: str
    memory: int = Field(ge=0)
    value: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Extraction:
    """What an extractor found.

    Attributes:
        problem: what went wrong, for the caller; None when nothing did.
    """

    statements: tuple[Statement, ...]
    outcome: Outcome
    problem: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the message could not be read at all."""
        return self.outcome in {"unavailable", "unusable", "too_long"}


async def extract_with_model(model: LanguageModel, words: str, current: Mapping[str, Any]) -> Extraction:
    """What the author says of themself in `words`, according to `model`, which is shown the current values.

    Never raises for what a model or its server does wrong: the caller must be able to go on, and to tell.
    """
    remembered = numbered(current)
    prompt = messages(words, remembered)
    if not fits(prompt, model.context_tokens):
        problem = (
            f"The message is too long for the model's window of {model.context_tokens} tokens (LLM_CONTEXT_TOKENS). "
            "Send it in parts, or give the model a larger window."
        )
        return Extraction((), "too_long", problem)
    try:
        reply = await model.reply(prompt, schema=SCHEMA, max_tokens=ANSWER_TOKENS)
    except ModelUnavailable as error:
        return Extraction((), "unavailable", error.detail)
    except ModelAnswerUnusable as error:
        return Extraction((), "unusable", error.detail)
    return read_answer(reply.text, words, remembered)


def read_answer(text: str, words: str, remembered: Sequence[Remembered]) -> Extraction:
    """The statements in a model's answer; what does not hold up is left out and told in `problem`."""
    try:
        answer = json.loads(_unfenced(text))
    except (ValueError, RecursionError):
        return Extraction((), "unusable", "The model's answer is no JSON. Nothing was remembered.")
    operations = answer.get("operations") if isinstance(answer, dict) else None
    if not isinstance(operations, list):
        return Extraction((), "unusable", "The model's answer has no list of operations. Nothing was remembered.")
    statements: list[Statement] = []
    objections: list[str] = []
    for raw in operations:
        try:
            statements += _statements(ModelOperation.model_validate(raw), words, remembered)
        except ValidationError as error:
            objections.append(f"not in the shape asked for ({'.'.join(map(str, error.errors()[0]['loc']))})")
        except _Unfounded as error:
            objections.append(str(error))
    if not objections:
        return Extraction(tuple(statements), "extracted" if statements else "nothing")
    problem = f"{len(objections)} of the model's {len(operations)} operations left out: {'; '.join(dict.fromkeys(objections))}."
    return Extraction(tuple(statements), "partial", problem)


class _Unfounded(Exception):
    """An operation that the message does not bear out; the message says why."""


def _statements(operation: ModelOperation, words: str, remembered: Sequence[Remembered]) -> list[Statement]:
    field = operation.field.strip()
    if field not in FIELDS:
        raise _Unfounded("a field that does not exist")
    known = next((memory for memory in remembered if memory.number == operation.memory), None)
    if known is not None and known.field != field:
        known = None  # a number of another field is a slip; the value still says what is meant
    if operation.operation == "NONE":
        return [] if known is None else [Statement(field, known.value)]
    if not _occurs(operation.evidence, words):
        raise _Unfounded("evidence that is not in the message")
    if operation.operation == "DELETE":
        # The value says best what is meant; the number is there for "I no longer work there".
        gone = known.value if known is not None and not operation.value.strip() else _value(field, operation.value)
        return [_statement(operation, field, gone, negated=True)]
    value = _value(field, operation.value)
    if not (_occurs(str(value), words) if field in _VERBATIM else field in _PARAPHRASED or _borne_out(value, words)):
        raise _Unfounded(f"a value of {field} that is not in the message")
    stated = [_statement(operation, field, value)]
    if operation.operation == "UPDATE" and known is not None and FIELDS[field].is_list:
        stated.insert(0, _statement(operation, field, known.value, negated=True))
    return stated


def _statement(operation: ModelOperation, field: str, value: Any, *, negated: bool = False) -> Statement:
    return Statement(field, value, negated, _CONFIDENCE, operation.evidence)


def _value(field: str, given: str) -> str | int:
    value = " ".join(given.split())
    if not value:
        raise _Unfounded("an empty value")
    try:
        storable(value)
    except ValueError:
        raise _Unfounded("a value that is no text") from None
    if len(value) > _LONGEST_VALUE:
        raise _Unfounded(f"a value longer than {_LONGEST_VALUE} characters")
    if field == "age":
        digits = re.search(r"\d+", value)
        if digits is None or len(digits[0]) > 3 or int(digits[0]) not in _AGES:
            raise _Unfounded("an age that is none")
        return int(digits[0])
    return value


def _occurs(quoted: str, words: str) -> bool:
    """Whether the message has these words, whatever case, accents, white space and signs at the ends a model changed."""
    wanted = _flat(quoted).strip(" .,;:!¡?¿\"'…")
    return bool(wanted) and re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", _flat(words)) is not None


def _borne_out(value: str | int, words: str) -> bool:
    """Whether a word of the value begins like a word of the message."""
    said = _flat(words)
    return _occurs(str(value), words) or any(
        re.search(rf"(?<!\w){re.escape(word[:_STEM])}", said) for word in folded_words(str(value)) if len(word) >= _STEM
    )


def _flat(text: str) -> str:
    return " ".join(fold(text).split())


def _unfenced(text: str) -> str:
    """JSON without the Markdown fence that servers without grammars let through."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text, re.DOTALL)
    return fenced[1] if fenced else text
