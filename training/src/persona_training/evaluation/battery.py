"""A battery: the probes a character is asked, what is expected of the answers, and what must never appear in one."""

from __future__ import annotations

import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from persona_training.errors import PersonaTrainingError

ReplyLanguage = Literal["es", "en", "any"]
Dialect = Literal["tuteo", "voseo", "ustedeo", "any"]
Facet = Literal[
    "style", "core_memory", "weekly", "identity", "hostile", "friendly", "language", "capability", "privacy"
]

SHIPPED = "casiopy"
FACETS: tuple[Facet, ...] = get_args(Facet)


class BatteryError(PersonaTrainingError):
    """A battery file is missing or malformed; the message names the key."""


@dataclass(frozen=True)
class Probe:
    """One thing a viewer says.

    Attributes:
        id: unique in its battery.
        facet: what it tests: her manner (style), what is always true of her (core_memory), what she was told lately (weekly),
            whether she stays in character (identity), how she bears rudeness and praise (hostile, friendly), her language and
            form of address (language), whether she can still think (capability) and keep a secret (privacy).
        prompt: the viewer's words.
        references: replies written by hand that are unmistakably the character's.
        expect: words or phrases of which one must appear in a right answer; empty where there is no right answer.
        reject: words or phrases none of which may appear in a right answer, such as a secret or a confession.
        neutral: what anybody's chat model answers to the same prompt; empty where the battery's general ones do.
        reply_language: the language a reply should be in; "any" is not judged.
    """

    id: str
    facet: Facet
    prompt: str
    references: tuple[str, ...]
    expect: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    neutral: str = ""
    reply_language: ReplyLanguage = "es"


@dataclass(frozen=True)
class Dialogue:
    """A viewer's side of a conversation, for hearing whether she drifts out of character while it goes on.

    Attributes:
        id: unique in its battery.
        mood: friendly, hostile or neutral: what kind of viewer this is.
        turns: the viewer's lines, in order; she answers each.
    """

    id: str
    mood: Literal["friendly", "hostile", "neutral"]
    turns: tuple[str, ...]
    reply_language: ReplyLanguage = "es"


@dataclass(frozen=True)
class Corpora:
    """Texts whose probability under a model is measured; none of them may be in a training set.

    Attributes:
        persona: pairs of what a viewer says and what she answers, written by hand.
        general: plain texts nobody in particular wrote.
    """

    persona: tuple[tuple[str, str], ...] = ()
    general: tuple[str, ...] = ()


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
    dialogues: tuple[Dialogue, ...] = ()
    corpora: Corpora = Corpora()
    dialect: Dialect = "any"
    out_of_character: tuple[re.Pattern[str], ...] = ()

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
        dialogues=_dialogues(raw.get("dialogues", []), str(raw["language"])),
        corpora=_corpora(raw.get("corpora", {})),
        dialect=_one_of(raw.get("dialect", "any"), get_args(Dialect), "dialect"),
        out_of_character=_patterns(raw["forbidden"].get("out_of_character", [])),
    )


def _probe(item: dict[str, Any], language: str) -> Probe:
    where = f"probe {item['id']}"
    if not item["references"]:
        raise ValueError(f"{where}: it needs at least one reference")
    return Probe(
        id=str(item["id"]),
        facet=_one_of(item["facet"], FACETS, f"{where}: facet"),
        prompt=str(item["prompt"]),
        references=tuple(map(str, item["references"])),
        expect=tuple(map(str, item.get("expect", ()))),
        reject=tuple(map(str, item.get("reject", ()))),
        neutral=str(item.get("neutral", "")),
        reply_language=_one_of(
            item.get("reply_language", language), get_args(ReplyLanguage), f"{where}: reply_language"
        ),
    )


def _dialogues(items: list[dict[str, Any]], language: str) -> tuple[Dialogue, ...]:
    made = []
    for item in items:
        where = f"dialogue {item['id']}"
        if len(item["turns"]) < 2:
            raise ValueError(f"{where}: it needs at least two turns")
        made.append(
            Dialogue(
                id=str(item["id"]),
                mood=_one_of(item["mood"], ("friendly", "hostile", "neutral"), f"{where}: mood"),
                turns=tuple(map(str, item["turns"])),
                reply_language=_one_of(
                    item.get("reply_language", language), get_args(ReplyLanguage), f"{where}: reply_language"
                ),
            )
        )
    if len({one.id for one in made}) < len(made):
        raise ValueError("dialogues: an id is used twice")
    return tuple(made)


def _corpora(raw: dict[str, Any]) -> Corpora:
    persona = tuple((str(item["prompt"]), str(item["reply"])) for item in raw.get("persona", ()))
    return Corpora(persona=persona, general=tuple(map(str, raw.get("general", ()))))


def _one_of(value: Any, allowed: Sequence[str], where: str) -> Any:
    if value not in allowed:
        raise ValueError(f"{where} must be {', '.join(allowed)}")
    return value


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
