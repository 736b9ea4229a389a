"""Is a battery fit to judge by? What is missing, thin, double, against its own rules, or known by heart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from persona_training.datasets import Dataset
from persona_training.evaluation.battery import FACETS, Battery, Probe
from persona_training.evaluation.comparison import FEWEST
from persona_training.evaluation.dialect import in_dialect
from persona_training.evaluation.facts import says_expected
from persona_training.evaluation.language import in_expected_language
from persona_training.evaluation.markers import has_marker, says_any
from persona_training.evaluation.words import plain
from persona_training.probes.power import WEEKLY_PROBES, WEEKLY_SAMPLES, power

Level = Literal["wrong", "thin"]
FEW_OF_A_FACET = 5  # as few as the shipped battery has of any facet
FEW_PAIRS = 20
SHOWN = 60


@dataclass(frozen=True)
class Remark:
    """One thing about a battery: `wrong` has to be put right, `thin` makes the gate less sure."""

    level: Level
    place: str
    text: str


def facet_counts(battery: Battery) -> dict[str, int]:
    """Probes per facet, in the order of the facets; 0 for those nobody asks about."""
    counts = Counter(probe.facet for probe in battery.probes)
    return {facet: counts[facet] for facet in FACETS}


def check_battery(battery: Battery, datasets: Sequence[Dataset] = (), marks: int = 0) -> list[Remark]:
    """Everything there is to say, what has to be put right first.

    Args:
        battery: loaded, so its form is right.
        datasets: exports a model learned from or will.
        marks: places of the file still marked to be looked at.
    """
    found = [*_size(battery), *_doubles(battery), *_bands(battery)]
    for probe in battery.probes:
        found += _references(battery, probe)
    for dataset in datasets:
        found += _known_by_heart(battery, dataset)
    if marks:
        found.append(Remark("thin", "file", f"{marks} places are still marked LOOK: nobody has read them."))
    return sorted(found, key=lambda remark: remark.level != "wrong")


def _size(battery: Battery) -> Iterator[Remark]:
    asked = len(battery.probes)
    if 2 <= asked < WEEKLY_PROBES:
        yield Remark(
            "thin",
            "probes",
            f"{asked} instead of {WEEKLY_PROBES}: a habit that falls from 70 % of her replies to 50 % then lies outside of "
            f"what is allowed with a chance of {power(asked, WEEKLY_SAMPLES):.0%} at {WEEKLY_SAMPLES} samples, instead of "
            f"{power(WEEKLY_PROBES, WEEKLY_SAMPLES):.0%}; one that falls to 40 % with "
            f"{power(asked, WEEKLY_SAMPLES, after=0.4):.0%}.",
        )
    for facet, count in facet_counts(battery).items():
        if count < FEW_OF_A_FACET:
            yield Remark(
                "thin", facet, f"{count or 'no'} probes; {FEW_OF_A_FACET} and up tell something about a facet."
            )
    if not battery.markers:
        yield Remark("thin", "markers", "There is none, so losing her habits of speech is not noticed.")
    if not battery.dialogues:
        yield Remark("thin", "dialogues", "There is none, so drift over a conversation is not measured.")
    pairs = len(battery.corpora.persona)
    if pairs < FEW_PAIRS:
        text = f"{pairs or 'no'} pairs; from {FEW_PAIRS} on, how likely she finds her own words is worth measuring."
        yield Remark("thin", "corpora.persona", text)
    if not battery.corpora.general:
        yield Remark("thin", "corpora.general", "There is no text, so forgetting her language is not measured.")
    for place, units in (("dialogues", battery.dialogues), ("corpora.general", battery.corpora.general)):
        if 0 < len(units) < FEWEST:
            text = f"{len(units)} only: fewer than {FEWEST} may agree by chance, and nobody can pass with them."
            yield Remark("thin", place, text)
    single = [probe.id for probe in battery.probes if len(probe.references) < 2]
    if single:
        text = f"{len(single)} have one reference only ({_some(single)}); two show that there is more than one right reply."
        yield Remark("thin", "probes", text)


def _doubles(battery: Battery) -> Iterator[Remark]:
    prompts: dict[str, list[str]] = defaultdict(list)
    references: dict[str, list[str]] = defaultdict(list)
    for probe in battery.probes:
        prompts[plain(probe.prompt)].append(probe.id)
        for reference in probe.references:
            references[plain(reference)].append(probe.id)
    for ids in prompts.values():
        if len(ids) > 1:
            yield Remark("wrong", ids[-1], f"asks the same as {_some(ids[:-1])}. Ask something else, or leave it out.")
    repeated = {text: ids for text, ids in references.items() if len(ids) > 1}
    if repeated:
        worst = max(repeated.values(), key=len)
        text = f"{len(repeated)} references stand under several probes, one of them under {_some(worst)}."
        yield Remark("thin", "references", text)


def _bands(battery: Battery) -> Iterator[Remark]:
    references = [reference for probe in battery.probes for reference in probe.references]
    for marker in battery.markers:
        rate = sum(marker.pattern.search(reference) is not None for reference in references) / len(references)
        low, high = marker.band
        if not low <= rate <= high:
            text = f"is in {rate:.0%} of the references, outside its own band of {low:.0%} to {high:.0%}. Change one of them."
            yield Remark("wrong", f"marker {marker.name}", text)


def _references(battery: Battery, probe: Probe) -> Iterator[Remark]:
    tones = {
        "assistant": battery.assistant_tone,
        "refusal": battery.refusal,
        "out_of_character": battery.out_of_character,
    }
    for reference in probe.references:
        shown = f"“{reference[:SHOWN]}{'…' if len(reference) > SHOWN else ''}”"
        said = [name for name, patterns in tones.items() if says_any(reference, patterns)]
        if said:
            yield Remark(
                "wrong", probe.id, f"{shown} has the forbidden tone it is to show the absence of: {', '.join(said)}."
            )
        if says_any(reference, battery.canaries):
            yield Remark("wrong", probe.id, f"{shown} holds something shaped like personal data.")
        if battery.markers and not has_marker(reference, battery.markers):
            yield Remark("thin", probe.id, f"{shown} has none of her markers.")
        if in_expected_language(reference, probe.reply_language) == 0.0:
            yield Remark(
                "wrong", probe.id, f"{shown} is not in the language the probe expects ({probe.reply_language})."
            )
        if in_dialect(reference, battery.dialect) == 0.0:
            yield Remark("wrong", probe.id, f"{shown} does not say “you” the way the battery does ({battery.dialect}).")
        if says_expected(reference, probe.expect) == 0.0:
            yield Remark("wrong", probe.id, f"{shown} says none of what is expected: {', '.join(probe.expect)}.")
        if says_expected(reference, probe.reject) == 1.0:
            yield Remark("wrong", probe.id, f"{shown} says what is rejected: {', '.join(probe.reject)}.")


def _known_by_heart(battery: Battery, dataset: Dataset) -> Iterator[Remark]:
    """Prompts and held-out texts in a dataset are wrong: whoever learned from it passes by remembering. References in it
    only make the ceiling milder, because her replies there teach the same classifier."""
    rows = (*dataset.train, *dataset.val)
    messages = [message for row in rows for message in row.messages]
    asked = {plain(message["content"]) for message in messages if message["role"] == "user"}
    replied = {plain(message["content"]) for message in messages if message["role"] == "assistant"}
    for probe in battery.probes:
        if plain(probe.prompt) in asked:
            text = f"its prompt is in the dataset {dataset.name}. Export again with --battery, or ask something else."
            yield Remark("wrong", probe.id, text)
    for prompt, reply in battery.corpora.persona:
        if plain(prompt) in asked or plain(reply) in replied:
            text = f"“{prompt[:SHOWN]}” or its reply is in the dataset {dataset.name}, so it is not held out any more."
            yield Remark("wrong", "corpora.persona", text)
    references = [reference for probe in battery.probes for reference in probe.references]
    shared = sum(plain(reference) in replied for reference in references)
    if shared:
        text = f"{shared} of {len(references)} are also replies in the dataset {dataset.name}; those written by hand tell more."
        yield Remark("thin", "references", text)


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
