"""Conversations with questions about them: reading the file, and cutting it into what is stored as one memory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

Store = Literal["interactions", "pairs", "memories"]
Language = Literal["en", "es"]


class BadData(Exception):
    """The file cannot be measured; the message says what is wrong where."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said. `key`: conversation and turn, unique in the file; `text`: as it is stored."""

    key: tuple[str, str]
    session: str
    when: datetime
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """A question and the turns that answer it."""

    question: str
    category: str
    evidence: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One long talk, its turns in order."""

    id: str
    turns: tuple[Turn, ...]
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Conversations:
    """A data file. `languages`: of the turns, and of the questions."""

    name: str
    commit: str | None
    languages: tuple[Language, Language]
    conversations: tuple[Conversation, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """What is stored as one memory: a turn, or two in a row. A hit on it takes as many places."""

    turns: tuple[Turn, ...]

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(turn.text for turn in self.turns)

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """The places a hit takes."""
        return tuple(turn.key for turn in self.turns)


def units(conversation: Conversation, store: Store) -> list[Unit]:
    """The conversation as it is stored; pairs never reach across sessions, a session's odd last turn stands alone."""
    if store != "pairs":
        return [Unit((turn,)) for turn in conversation.turns]
    cut = []
    for _, session in groupby(conversation.turns, key=lambda turn: turn.session):
        turns = tuple(session)
        cut += [Unit(turns[start : start + 2]) for start in range(0, len(turns), 2)]
    return cut


def read(path: Path, *, conversations: int | None = None, questions: int | None = None) -> Conversations:
    """The file's conversations, or the first so many of them and of each one's questions.

    Raises:
        BadData: no such file, no JSON, a field missing, or a question without evidence among the turns.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = tuple(_conversation(one, questions) for one in data["conversations"][:conversations])
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise BadData(f"{path} is no JSON: {error}.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise BadData(f"{path} has not the shape described in benchmarks/README.md ({error!r}).") from error
    if not any(one.queries for one in found):
        raise BadData(f"{path} asks nothing.")
    said = " ".join(turn.text for one in found for turn in one.turns)[:20_000]
    asked = " ".join(query.question for one in found for query in one.queries)[:20_000]
    languages = _language(path, data, "language", said), _language(path, data, "question_language", asked)
    return Conversations(str(data.get("dataset", path.stem)), data.get("commit"), languages, found)


def _conversation(one: Mapping[str, Any], questions: int | None) -> Conversation:
    turns = tuple(_turn(one["id"], number, turn) for number, turn in enumerate(one["turns"]))
    known = {turn.key for turn in turns}
    if len(known) < len(turns):
        raise BadData(f"Conversation {one['id']} gives two turns the same id.")
    queries = tuple(
        Query(query["question"], query["category"], frozenset((one["id"], turn) for turn in query["evidence"]))
        for query in one["queries"][:questions]
    )
    for query in queries:
        if not query.evidence or not query.evidence <= known:
            raise BadData(f"Conversation {one['id']} lacks the evidence of a question: {query.question!r}.")
    return Conversation(one["id"], turns, queries)


def _turn(conversation: str, number: int, turn: Mapping[str, Any]) -> Turn:
    image = f" [shares image: {turn['caption']}]" if turn.get("caption") else ""
    # A session has one date; a second for each turn keeps their order.
    when = datetime.fromisoformat(turn["date"]).replace(tzinfo=UTC) + timedelta(seconds=number)
    text = f"{turn['speaker']}: {turn['text']}{image}"
    return Turn((conversation, turn["id"]), str(turn["session"]), when, turn["speaker"], text)


def _language(path: Path, data: Mapping[str, Any], key: str, sample: str) -> Language:
    """What the file says, else what the text looks like, which is printed."""
    told = data.get(key)
    if told in ("en", "es"):
        return "es" if told == "es" else "en"
    if told is not None:
        raise BadData(f"{path}: {key} is {told!r}; the baselines know en and es.")
    from lingua import Language as Known
    from lingua import LanguageDetectorBuilder

    detector = LanguageDetectorBuilder.from_languages(Known.ENGLISH, Known.SPANISH).build()
    looks: Language = "es" if detector.detect_language_of(sample) == Known.SPANISH else "en"
    print(f"{path.name} names no {key}: its text looks like {looks}", flush=True)
    return looks


def categories(conversations: Sequence[Conversation]) -> list[str]:
    """Each question's category, in the order they are asked."""
    return [query.category for one in conversations for query in one.queries]
