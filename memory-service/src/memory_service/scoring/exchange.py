"""What the scorer reads and what it returns. Plain values, no behaviour beyond checking and printing themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from memory_service.scoring.text import strip_accents


@dataclass(frozen=True, slots=True)
class Exchange:
    """One input of a viewer and the character's reply.

    `metadata` may carry what the conversation service knows about the turn: `interrupted: true` (the viewer cut the
    reply off) and `finish_reason` ("length" means the model ran out of room).
    """

    input_text: str
    output_text: str
    input_emotion: str | None = None
    output_emotion: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PersonaStyle:
    """How a persona sounds, as data: it comes from the persona's settings, never from this code.

    `markers` and `forbidden` are regular expressions, matched without regard to case or accents. `languages` are ISO
    639-1 codes, the persona's own language first. `length_words` is the band a good reply keeps to.
    """

    markers: tuple[re.Pattern[str], ...] = ()
    forbidden: tuple[re.Pattern[str], ...] = ()
    languages: tuple[str, ...] = ("es", "en")
    length_words: tuple[int, int] = (3, 60)

    @classmethod
    def from_settings(cls, settings: Mapping[str, object]) -> PersonaStyle:
        """Read `settings["style"]` of a persona; missing keys keep the neutral defaults.

        Raises ValueError naming the key, and the pattern when it is not a regular expression.
        """
        style = settings.get("style", {})
        if not isinstance(style, Mapping):
            raise ValueError("persona settings: `style` must be an object")  # noqa: TRY004  (owner data, not a caller's type)
        languages = tuple(code.lower() for code in _strings(style, "languages")) or ("es", "en")
        return cls(
            markers=_patterns(style, "markers"),
            forbidden=_patterns(style, "forbidden"),
            languages=languages,
            length_words=_band(style.get("length_words", (3, 60))),
        )


@dataclass(frozen=True, slots=True)
class ScoringContext:
    """What surrounds an exchange. Everything is optional; a signal without its material is left out, not guessed.

    `recent_replies`: earlier replies of the same persona, never the one being scored. `memory_block` and
    `system_prompt`: what the model was given, to notice it reciting them. `ratings`: 1..5 from people.
    """

    style: PersonaStyle = field(default_factory=PersonaStyle)
    persona_name: str = ""
    recent_replies: Sequence[str] = ()
    memory_block: str = ""
    system_prompt: str = ""
    ratings: Sequence[int] = ()
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """A hard rule the exchange broke: nothing should be learned from it."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Signal:
    """One soft opinion: `value` in [0, 1], its share of the score, and the sentence that explains it.

    `ceiling` caps the whole score (1.0 = no cap): some findings outweigh any number of good ones.
    """

    name: str
    value: float
    weight: float
    why: str
    ceiling: float = 1.0


@dataclass(frozen=True, slots=True)
class QualityScore:
    """The verdict: `score` in [0, 1], 0 whenever a hard rule was broken."""

    score: float
    drops: tuple[Drop, ...]
    signals: tuple[Signal, ...]
    scorer_version: str

    def as_dict(self) -> dict[str, object]:
        """The breakdown as stored and served: {"score", "drops", "signals", "scorer_version"}."""
        return {
            "score": self.score,
            "drops": [{"rule": drop.rule, "why": drop.why} for drop in self.drops],
            "signals": [
                {"name": signal.name, "value": signal.value, "weight": signal.weight, "why": signal.why}
                for signal in self.signals
            ],
            "scorer_version": self.scorer_version,
        }


def _strings(style: Mapping[str, object], key: str) -> list[str]:
    values = style.get(key, [])
    if not isinstance(values, Sequence) or isinstance(values, str) or not all(isinstance(v, str) for v in values):
        raise ValueError(f"persona settings: `style.{key}` must be a list of texts")
    return list(values)


def _patterns(style: Mapping[str, object], key: str) -> tuple[re.Pattern[str], ...]:
    compiled = []
    for pattern in _strings(style, key):
        try:
            compiled.append(re.compile(strip_accents(pattern), re.IGNORECASE | re.MULTILINE))
        except re.error as error:
            raise ValueError(f"persona settings: `style.{key}` has an invalid pattern {pattern!r}: {error}") from error
    return tuple(compiled)


def _band(value: object) -> tuple[int, int]:
    if (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) == 2
        and all(isinstance(bound, int) for bound in value)
        and 0 < value[0] <= value[1]
    ):
        return int(value[0]), int(value[1])
    raise ValueError("persona settings: `style.length_words` must be [shortest, longest], e.g. [5, 45]")
