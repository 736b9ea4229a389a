"""A battery: the probes a character is asked, what is expected of the answers, and what must never appear in one."""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from persona_training.errors import PersonaTrainingError

ReplyLanguage = Literal["es", "en", "any"]

SHIPPED = "casiopy"


class BatteryError(PersonaTrainingError):
    """A battery file is missing or malformed; the message names the key."""


@dataclass(frozen=True)
class Probe:
    """One thing a viewer says.

    Attributes:
        id: unique in its battery.
        facet: what it tests: style, core_memory, weekly, hostile, friendly, identity, capability or language.
        prompt: the viewer's words.
        references: replies written by hand that are unmistakably the character's.
        expect: words or phrases of which one must appear in a right answer; empty where there is no right answer.
        reply_language: the language a reply should be in; "any" is not judged.
    """

    id: str
    facet: str
    prompt: str
    references: tuple[str, ...]
    expect: tuple[str, ...] = ()
    reply_language: ReplyLanguage = "es"


@dataclass(frozen=True)
class Marker:
    """A habit of speech; `band` is the share of replies, lowest to highest, in which it is expected."""

    name: str
    title: str
    pattern: re.Pattern[str]
    band: tuple[float, float]


@dataclass(frozen=True)
class Battery:
    """Everything the gate knows about one character, read from one YAML file."""

    name: str
    version: int
    persona: str
    language: str
    sha256: str
    markers: tuple[Marker, ...]
    assistant_tone: tuple[re.Pattern[str], ...]
    refusal: tuple[re.Pattern[str], ...]
    canaries: tuple[re.Pattern[str], ...]
    neutral_replies: tuple[str, ...]
    probes: tuple[Probe, ...]

    def choose(self, count: int | None, seed: int) -> tuple[Probe, ...]:
        """`count` probes spread evenly over the facets, the same ones for the same seed; all of them for None.

        Raises:
            BatteryError: `count` is below 1.
        """
        if count is None or count >= len(self.probes):
            return self.probes
        if count < 1:
            raise BatteryError("--prompts must be at least 1.")
        facets: dict[str, list[Probe]] = defaultdict(list)
        for probe in self.probes:
            facets[probe.facet].append(probe)
        dealer = random.Random(seed)  # noqa: S311 (a repeatable choice, not a secret)
        for pile in facets.values():
            dealer.shuffle(pile)
        chosen: set[str] = set()
        while len(chosen) < count:
            for pile in facets.values():
                if pile and len(chosen) < count:
                    chosen.add(pile.pop().id)
        return tuple(probe for probe in self.probes if probe.id in chosen)


def load_battery(source: str | Path = SHIPPED) -> Battery:
    """Read a battery by the name of a shipped one or by the path of a YAML file.

    Raises:
        BatteryError: no such battery, not YAML, or a key is missing or wrong.
    """
    content = _read(source)
    try:
        raw = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise BatteryError(f"The battery {source} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise BatteryError(f"The battery {source} must be a mapping with the keys name, markers, forbidden and probes.")
    try:
        return _battery(raw, hashlib.sha256(content.encode("utf-8")).hexdigest())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BatteryError(f"The battery {source} is malformed at {error}. Compare it with the shipped one.") from error


def _read(source: str | Path) -> str:
    path = Path(source)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            raise BatteryError(f"No battery file at {path}.")
        return path.read_text(encoding="utf-8")
    shipped = resources.files("persona_training.evaluation") / "batteries" / f"{source}.yaml"
    if not shipped.is_file():
        raise BatteryError(f"No shipped battery is called {source!r}. Give the path of a .yaml file, or {SHIPPED!r}.")
    return shipped.read_text(encoding="utf-8")


def _battery(raw: dict[str, Any], sha256: str) -> Battery:
    probes = tuple(_probe(item, str(raw["language"])) for item in raw["probes"])
    seen: set[str] = set()
    for probe in probes:
        if probe.id in seen:
            raise ValueError(f"probe {probe.id}: the id is used twice")
        seen.add(probe.id)
    if not probes:
        raise ValueError("probes: there is none")
    return Battery(
        name=str(raw["name"]),
        version=int(raw["version"]),
        persona=str(raw["persona"]),
        language=str(raw["language"]),
        sha256=sha256,
        markers=tuple(_marker(item) for item in raw["markers"]),
        assistant_tone=_patterns(raw["forbidden"]["assistant"]),
        refusal=_patterns(raw["forbidden"]["refusal"]),
        canaries=_patterns(raw.get("canaries", [])),
        neutral_replies=tuple(map(str, raw["neutral_replies"])),
        probes=probes,
    )


def _probe(item: dict[str, Any], language: str) -> Probe:
    reply_language = item.get("reply_language", language)
    if reply_language not in {"es", "en", "any"}:
        raise ValueError(f"probe {item['id']}: reply_language must be es, en or any")
    if not item["references"]:
        raise ValueError(f"probe {item['id']}: it needs at least one reference")
    return Probe(
        id=str(item["id"]),
        facet=str(item["facet"]),
        prompt=str(item["prompt"]),
        references=tuple(map(str, item["references"])),
        expect=tuple(map(str, item.get("expect", ()))),
        reply_language=reply_language,
    )


def _marker(item: dict[str, Any]) -> Marker:
    low, high = (float(value) for value in item["band"])
    if not 0 <= low <= high <= 1:
        raise ValueError(f"marker {item['name']}: a band is two shares, lowest first, between 0 and 1")
    return Marker(str(item["name"]), str(item["title"]), _patterns([item["pattern"]])[0], (low, high))


def _patterns(sources: list[str]) -> tuple[re.Pattern[str], ...]:
    compiled = []
    for source in sources:
        try:
            compiled.append(re.compile(source, re.IGNORECASE | re.MULTILINE))
        except re.error as error:
            raise ValueError(f"pattern {source!r}: {error}") from error
    return tuple(compiled)
