"""A battery: the probes a character is asked, what is expected of the answers, and what must never appear in one."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from persona_training.evaluation.battery_source import BatteryError, read_source
from persona_training.evaluation.patterns import Pattern

ReplyLanguage = Literal["es", "en", "any"]
Dialect = Literal["tuteo", "voseo", "ustedeo", "any"]
Facet = Literal[
    "style", "core_memory", "weekly", "identity", "hostile", "friendly", "language", "capability", "privacy"
]

SHIPPED = "casiopy"
FACETS: tuple[Facet, ...] = get_args(Facet)

__all__ = [
    "FACETS",
    "SHIPPED",
    "Battery",
    "BatteryError",
    "Corpora",
    "Dialect",
    "Dialogue",
    "Facet",
    "Marker",
    "Probe",
    "ReplyLanguage",
    "load_battery",
]


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
        reply_language: the language her answers should be in; "any" is not judged.
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
    pattern: Pattern
    band: tuple[float, float]


@dataclass(frozen=True)
class Battery:
    """Everything the gate knows about one character."""

    name: str
    version: int
    persona: str
    language: str
    sha256: str
    markers: tuple[Marker, ...]
    assistant_tone: tuple[Pattern, ...]
    refusal: tuple[Pattern, ...]
    canaries: tuple[Pattern, ...]
    neutral_replies: tuple[str, ...]
    probes: tuple[Probe, ...]
    dialogues: tuple[Dialogue, ...] = ()
    corpora: Corpora = Corpora()
    dialect: Dialect = "any"
    out_of_character: tuple[Pattern, ...] = ()

    @property
    def kept_out(self) -> tuple[str, ...]:
        """What no training set may ask or hold: the probes, the viewers' lines, the held-out prompts and texts; each once."""
        probes = (probe.prompt for probe in self.probes)
        turns = (turn for dialogue in self.dialogues for turn in dialogue.turns)
        held_out = (prompt for prompt, _ in self.corpora.persona)
        return tuple(dict.fromkeys([*probes, *turns, *held_out, *self.corpora.general]))

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
    """Read a battery by the name of a shipped one, or by the path of a YAML file or of a folder of them.

    `reply_language` falls to the battery's language where a probe or dialogue names none, and to "any" in a language other
    than Spanish and English, which nothing here can tell apart.

    Raises:
        BatteryError: no such battery, not YAML, or a key is missing or wrong.
    """
    found = read_source(source)
    keys = found.keys
    language = str(keys["language"])
    spoken = language if language in get_args(ReplyLanguage) else "any"
    corpora = keys.get("corpora", {})
    pairs = tuple((pair["prompt"], pair["reply"]) for pair in corpora.get("persona", ()))
    return Battery(
        name=keys["name"],
        version=keys["version"],
        persona=keys["persona"],
        language=language,
        sha256=found.sha256,
        markers=tuple(_marker(item) for item in keys["markers"]),
        assistant_tone=_patterns(keys["forbidden"]["assistant"]),
        refusal=_patterns(keys["forbidden"]["refusal"]),
        canaries=_patterns(keys.get("canaries", ())),
        neutral_replies=tuple(keys["neutral_replies"]),
        probes=tuple(_probe(item, spoken) for item in keys["probes"]),
        dialogues=tuple(_dialogue(item, spoken) for item in keys.get("dialogues", ())),
        corpora=Corpora(pairs, tuple(corpora.get("general", ()))),
        dialect=keys.get("dialect", "any"),
        out_of_character=_patterns(keys["forbidden"].get("out_of_character", ())),
    )


def _probe(item: dict[str, Any], language: str) -> Probe:
    lists = {key: tuple(item.get(key, ())) for key in ("references", "expect", "reject")}
    return Probe(**{"reply_language": language, **item, **lists})


def _dialogue(item: dict[str, Any], language: str) -> Dialogue:
    return Dialogue(**{"reply_language": language, **item, "turns": tuple(item["turns"])})


def _marker(item: dict[str, Any]) -> Marker:
    low, high = item["band"]
    return Marker(item["name"], item["title"], Pattern(item["pattern"]), (float(low), float(high)))


def _patterns(sources: Iterable[str]) -> tuple[Pattern, ...]:
    return tuple(map(Pattern, sources))
