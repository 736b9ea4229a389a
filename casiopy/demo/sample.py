"""The shipped sample month: four invented weeks of stream, read and checked line by line.

Run `python -m casiopy.demo.sample` to count what is in it. `README.md` beside this file says what the labels mean.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SAMPLE = FOLDER / "sample_month.jsonl"
RECALL_QUESTIONS = FOLDER / "recall_questions.json"
WEEKLY_FACTS = FOLDER / "weekly_facts.json"

LABELS = frozenset(
    {
        "excellent",
        "dull",
        "off_character",
        "refusal",
        "error_text",
        "spam",
        "duplicate",
        "pii",
        "opted_out",
        "interrupted",
        "role_confusion",
        "memory_echo",
        "wrong_language",
        "english",
    }
)


class SampleError(ValueError):
    """A sample file is missing or malformed; the message names the file, the line and what to do."""


@dataclass(frozen=True, slots=True)
class SampleExchange:
    """One exchange: what a viewer wrote, what Casiopy answered, and what a human thinks of the answer.

    `labels`, `keep` and `note` are the human's judgment. They are for measuring and are never posted to the service.
    """

    line: int
    session: str
    user_id: str
    opt_out_training: bool
    occurred_at: datetime
    input_text: str
    output_text: str
    input_emotion: str
    output_emotion: str
    model_version: str
    labels: frozenset[str]
    keep: bool
    note: str | None = None

    @property
    def exportable(self) -> bool:
        """Whether a dataset may hold it: a reply worth learning, a viewer who agreed, and not said before."""
        return self.keep and not self.opt_out_training and "duplicate" not in self.labels


@dataclass(frozen=True, slots=True)
class RecallQuestion:
    """A question a viewer may ask, and a piece of text that the right memories contain."""

    user_id: str
    query: str
    expect_substring: str
    why: str


@dataclass(frozen=True, slots=True)
class WeeklyFact:
    """Something that happened in the fourth week, asked in several ways, always with the same answer."""

    key: str
    questions: tuple[str, ...]
    answer: str


def load_sample(path: Path | None = None) -> list[SampleExchange]:
    """Read the sample month in file order, which is the order of the sessions.

    Raises:
        SampleError: the file is missing or empty, or a line is not the exchange it should be.
    """
    source = path or SAMPLE
    exchanges = [
        _exchange(number, line, source)
        for number, line in enumerate(_text(source).splitlines(), start=1)
        if line.strip()
    ]
    if not exchanges:
        raise SampleError(f"{source} holds no exchange. Restore the file that ships with casiopy.")
    return exchanges


def load_recall_questions(path: Path | None = None) -> list[RecallQuestion]:
    """Read the questions that the memory should be able to answer.

    Raises:
        SampleError: the file is missing or an entry lacks a field.
    """
    source = path or RECALL_QUESTIONS
    return [RecallQuestion(**entry) for entry in _entries(source, RecallQuestion)]


def load_weekly_facts(path: Path | None = None) -> list[WeeklyFact]:
    """Read the facts of the fourth week, which an episodic adapter should learn.

    Raises:
        SampleError: the file is missing or an entry lacks a field.
    """
    source = path or WEEKLY_FACTS
    return [
        WeeklyFact(entry["key"], tuple(entry["questions"]), entry["answer"]) for entry in _entries(source, WeeklyFact)
    ]


def _text(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SampleError(f"{source} does not exist. Reinstall casiopy or give the path of a sample file.") from None
    except UnicodeDecodeError as error:
        raise SampleError(
            f"{source} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from None


def _exchange(number: int, line: str, source: Path) -> SampleExchange:
    where = f"{source}, line {number}"
    try:
        raw = json.loads(line)
    except json.JSONDecodeError as error:
        raise SampleError(f"{where}: not JSON ({error.msg} at column {error.colno}). One object a line.") from None
    if not isinstance(raw, dict):
        raise SampleError(f"{where}: a JSON object is expected, not {type(raw).__name__}.")
    _check_fields(raw, where)
    return SampleExchange(
        line=number,
        session=raw["session"],
        user_id=raw["user_id"],
        opt_out_training=raw["opt_out_training"],
        occurred_at=_moment(raw["occurred_at"], where),
        input_text=raw["input_text"],
        output_text=raw["output_text"],
        input_emotion=raw["input_emotion"],
        output_emotion=raw["output_emotion"],
        model_version=raw["model_version"],
        labels=_labels(raw["labels"], where),
        keep=raw["keep"],
        note=raw.get("note"),
    )


_BOOLEANS = frozenset({"opt_out_training", "keep"})
_REQUIRED = frozenset(field.name for field in fields(SampleExchange)) - {"line", "note"}


def _check_fields(raw: dict[str, Any], where: str) -> None:
    missing = sorted(_REQUIRED - raw.keys())
    unknown = sorted(raw.keys() - _REQUIRED - {"note"})
    if missing or unknown:
        parts = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(unknown)}"] * bool(unknown)
        raise SampleError(f"{where}: {'; '.join(parts)}. Every exchange has the same fields.")
    for name, value in raw.items():
        expected: type = bool if name in _BOOLEANS else list if name == "labels" else str
        if not isinstance(value, expected):
            raise SampleError(f"{where}: {name} must be {expected.__name__}, not {type(value).__name__}.")


def _moment(text: str, where: str) -> datetime:
    if not text.endswith("Z"):
        raise SampleError(f"{where}: occurred_at {text!r} must be UTC and end in Z, as in 2026-01-06T19:03:17Z.")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise SampleError(f"{where}: occurred_at {text!r} is not an ISO 8601 time.") from None


def _labels(names: list[Any], where: str) -> frozenset[str]:
    unknown = [str(name) for name in names if name not in LABELS]
    if unknown or not names:
        known = ", ".join(sorted(LABELS))
        raise SampleError(f"{where}: labels {unknown or 'are empty'}; use one or more of: {known}.")
    return frozenset(names)


def _entries(source: Path, kind: type) -> Iterator[dict[str, Any]]:
    try:
        raw = json.loads(_text(source))
    except json.JSONDecodeError as error:
        raise SampleError(f"{source}, line {error.lineno}: not JSON ({error.msg}).") from None
    names = {field.name for field in fields(kind)}
    for number, entry in enumerate(raw, start=1):
        if not isinstance(entry, dict) or entry.keys() != names:
            raise SampleError(
                f"{source}, entry {number}: exactly these fields are expected: {', '.join(sorted(names))}."
            )
        yield entry


def main() -> None:
    """Print how many exchanges, sessions and viewers the sample month has, and how often each label occurs."""
    import click

    exchanges = load_sample()
    labels = Counter(label for exchange in exchanges for label in exchange.labels)
    sessions = {exchange.session for exchange in exchanges}
    viewers = {exchange.user_id for exchange in exchanges}
    click.echo(f"{len(exchanges)} exchanges, {len(sessions)} sessions, {len(viewers)} people")
    for label, count in labels.most_common():
        click.echo(f"{count:5}  {label}")


if __name__ == "__main__":
    main()
