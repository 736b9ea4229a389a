"""Which rows of the week are most to blame for a failed gate: a ranking without a judge.

Two things are looked at. Every row is measured by the very measures that failed: a row that lies where she should not have
gone pulls her there. And rows are compared with her failing replies by the words they share (TF-IDF cosine): for finding the
training examples behind what a model says, lexical similarity did better than gradient-based attribution (Akyürek et al.
2022, arXiv 2205.11482).

What it does not show: that a row is the cause. Only training without it would. Rows that were mixed in (replay, neutral
rows) are not ranked, and a fault that no row carries, such as too high a learning rate, is not found here at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from persona_training.datasets import read_manifest
from persona_training.errors import DatasetError
from persona_training.evaluation.battery import Battery, Probe
from persona_training.evaluation.exam import Exam, Values
from persona_training.evaluation.hard_rules import find_hard_fails
from persona_training.evaluation.language import spoken_language
from persona_training.evaluation.measuring import measured
from persona_training.evaluation.transcript import Transcript
from persona_training.evaluation.words import words
from persona_training.row_formats import Row, parse_row
from persona_training.weekly.faults import Fault, Heard

MOST_ROWS = 10
# Measuring compares replies pairwise: 1000 exchanges take 3.3 s of one core, 2000 take 7.2 s, ten times as many minutes.
MOST_MEASURED = 2000
# From here on a measure or a likeness is told as a reason. Of the sample month's 301 exchanges nine in ten have nobody closer
# than 0.18, and no two replies are closer than 0.3; with a third of its words left out, a reply keeps 0.5 (nine in ten).
TOLD_PULL, TOLD_LIKENESS = 0.5, 0.3
EXCERPT = 160


@dataclass(frozen=True)
class Exchange:
    """One question and reply of a training row.

    Attributes:
        row: file and line, such as "train.jsonl:12".
        interaction_id: in the memory service; None where the row does not say.
    """

    row: str
    interaction_id: str | None
    asked: str
    reply: str


@dataclass(frozen=True)
class Suspect:
    """An exchange with its share of the blame, in [0, 1], and why, the weightiest reason first."""

    exchange: Exchange
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What speaks against the exchanges for one fault or broken rule.

    Attributes:
        told: per exchange the sentence that goes with a high pull.
        pull: per exchange, in [0, 1]: how far the same measure puts it where she should not have gone.
        likeness: per exchange, in [0, 1]: cosine with the failing reply it shares most words with.
        like: per exchange: the probe of that reply.
        rule: a hard rule, which no statistics excuse.
    """

    told: Sequence[str]
    pull: Values
    likeness: Values
    like: Sequence[str]
    rule: bool = False


def read_exchanges(export: Path) -> list[Exchange]:
    """Every exchange of an export's train rows.

    Raises:
        DatasetError: the export is not there, or holds no conversations.
    """
    name = read_manifest(export / "manifest.json")["splits"]["train"]["file"]
    found = []
    try:
        lines = (export / name).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{export / name} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            found += _exchanges(line, f"{name}:{number}")
    return found


def _exchanges(line: str, place: str) -> list[Exchange]:
    _, row = parse_row(line, place)
    if not isinstance(row, Row):
        raise DatasetError(f"{place}: judged replies, not a conversation.")
    turns = [message["content"] for message in row.messages if message["role"] != "system"]
    ids = json.loads(line).get("metadata", {}).get("interaction_ids", [])
    known = ids if len(ids) == len(turns) // 2 else [ids[0] if len(ids) == 1 else None] * (len(turns) // 2)
    return [Exchange(place, *found) for found in zip(known, turns[::2], turns[1::2], strict=True)]


def rank(exchanges: Sequence[Exchange], evidence: Sequence[Evidence], most: int = MOST_ROWS) -> list[Suspect]:
    """The exchanges most to blame, those that break a hard rule themselves before all others.

    The score is the mean, over everything that went wrong, of pull and likeness. Who has neither is not named.
    """
    if not exchanges or not evidence:
        return []
    score = np.mean([(one.pull + one.likeness) / 2 for one in evidence], axis=0)
    breaks = sum((one.pull >= TOLD_PULL).astype(np.int64) for one in evidence if one.rule) + np.zeros(len(exchanges))
    order = sorted(range(len(exchanges)), key=lambda n: (-breaks[n], -score[n], exchanges[n].row, n))
    suspects = (Suspect(exchanges[n], round(float(score[n]), 3), _reasons(n, evidence)) for n in order)
    return [suspect for suspect in suspects if suspect.reasons][:most]


def _reasons(n: int, evidence: Sequence[Evidence]) -> tuple[str, ...]:
    told = [(float(one.pull[n]) + one.rule, one.told[n]) for one in evidence if one.pull[n] >= TOLD_PULL]
    closest = max(evidence, key=lambda one: float(one.likeness[n]))
    if closest.likeness[n] >= TOLD_LIKENESS:
        likeness = float(closest.likeness[n])
        told.append((likeness, f"shares words with her reply to {closest.like[n]} (cosine {likeness:.2f})"))
    return tuple(sentence for _, sentence in sorted(told, key=lambda pair: -pair[0]))


def likeness(texts: Sequence[str], failing: Mapping[str, str]) -> tuple[Values, list[str]]:
    """For each text the cosine, in [0, 1], with the failing reply that it shares most words and word pairs with, and whose.

    Args:
        texts: training replies.
        failing: probe to reply.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    spoken = {probe: reply for probe, reply in failing.items() if reply.strip()}
    nobody = np.zeros(len(texts)), [""] * len(texts)
    if not texts or not spoken:
        return nobody
    vectorizer = TfidfVectorizer(tokenizer=words, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True)
    try:
        vectors = vectorizer.fit_transform([*texts, *spoken.values()])
    except ValueError:  # not one word in any of them
        return nobody
    cosines = (vectors[: len(texts)] @ vectors[len(texts) :].T).toarray()
    probes = list(spoken)
    return np.clip(cosines.max(axis=1), 0.0, 1.0), [probes[n] for n in cosines.argmax(axis=1)]


def pulls(fault: Fault, values: Values) -> Values:
    """How far each value lies beyond what would have been fine, in the direction of the fault: 0 to 1, 1 for the farthest.

    Where none lies a whole margin beyond it, the farthest is that fraction of 1.
    """
    beyond = np.nan_to_num(fault.sign * (values - fault.goal), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0.0)
    farthest = max(float(beyond.max(initial=0.0)), fault.margin)
    return beyond / farthest if farthest > 0 else beyond


def suspects(
    exchanges: Sequence[Exchange],
    faults: Sequence[Fault],
    rules: Mapping[str, Mapping[str, str]],
    failing: Mapping[str, Mapping[str, str]],
    battery: Battery,
    heard: Heard,
) -> tuple[list[Suspect], str]:
    """The rows most to blame, and what was left out of the search, if anything.

    Args:
        exchanges: of the week.
        faults: the metrics that failed.
        rules: the hard rules that were broken; for each, probe to the reply that broke it.
        failing: for each fault's metric, probe to the reply that shows it.
        battery: whose measures failed.
        heard: what the voices said; the base model's replies tell the style classifier what she is not.
    """
    exchanges, note = _measurable(exchanges, [*failing.values(), *rules.values()])
    if not exchanges:
        return [], note
    exam, said = _as_examination(exchanges, battery, heard)
    taken = measured(exam, said) if faults else []
    values = {one.metric.name: one.values["candidate"] for one in taken if one.metric.over == "probes"}
    texts = [exchange.reply for exchange in exchanges]
    evidence = [_of_fault(fault, values.get(fault.name), texts, failing.get(fault.name, {})) for fault in faults]
    broken = {(fail.rule, fail.probe) for fail in find_hard_fails(exam, said["candidate"])}
    for rule, replies in rules.items():
        hits = np.array([float((rule, probe.id) in broken) for probe in exam.probes])
        evidence.append(
            Evidence([f"breaks the hard rule {rule} itself"] * len(texts), hits, *likeness(texts, replies), True)
        )
    return rank(exchanges, evidence), note


def _of_fault(fault: Fault, values: Values | None, texts: Sequence[str], failing: Mapping[str, str]) -> Evidence:
    flat = np.full(len(texts), np.nan) if values is None or len(values) != len(texts) else values[:, 0]
    other = "what is acceptable" if fault.opponent == "alone" else f"the {fault.opponent}"
    told = [f"{fault.title}: {value:.2f} {fault.unit}, {other} is at {fault.level:.2f}" for value in flat]
    return Evidence(told, pulls(fault, flat), *likeness(texts, failing))


def _measurable(exchanges: Sequence[Exchange], failing: Sequence[Mapping[str, str]]) -> tuple[Sequence[Exchange], str]:
    if len(exchanges) <= MOST_MEASURED:
        return exchanges, ""
    replies = {probe: reply for one in failing for probe, reply in one.items()}
    near, _ = likeness([exchange.reply for exchange in exchanges], replies)
    kept = sorted(np.argsort(-near, kind="stable")[:MOST_MEASURED])
    note = (
        f"Looked at the {MOST_MEASURED} of {len(exchanges)} exchanges that share most words with the failing replies."
    )
    return [exchanges[n] for n in kept], note


def _as_examination(
    exchanges: Sequence[Exchange], battery: Battery, heard: Heard
) -> tuple[Exam, dict[str, Transcript]]:
    """The rows as if somebody had been examined and had said them: so that the very same measures can be taken.

    A reply should be in the language of the question; where that cannot be told, in the battery's.
    """
    usual = battery.language if battery.language in ("es", "en") else "any"
    probes = tuple(
        Probe(
            id=f"{exchange.row}#{n}",
            facet="style",
            prompt=exchange.asked,
            references=battery.probes[n % len(battery.probes)].references,
            reply_language=spoken_language(exchange.asked) or usual,  # type: ignore[arg-type]
        )
        for n, exchange in enumerate(exchanges)
    )
    said = {"candidate": Transcript("the week's rows", [[exchange.reply] for exchange in exchanges])}
    if "floor" in heard.said:
        floor = heard.said["floor"].replies
        said["floor"] = Transcript("floor", [[floor[n % len(floor)][0]] for n in range(len(probes))])
    return Exam(battery, probes), said


def excerpt(text: str) -> str:
    """The text on one line, cut where it gets long."""
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT else line[: EXCERPT - 1].rstrip() + "…"
