"""Which language she speaks, and how she addresses whom she speaks to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from persona_training.evaluation.battery import Dialect
from persona_training.evaluation.language import spoken_language
from persona_training.evaluation.words import without_stage_directions

# Forms that only one way of address has ("has", "estás" and "vas" are shared by two and tell nothing).
_FORMS: dict[Dialect, re.Pattern[str]] = {
    "tuteo": re.compile(
        r"\b(?:tú|ti|contigo|eres|tienes|puedes|quieres|sabes|haces|dices|crees|vienes|piensas|sigues|vosotr[oa]s|tenéis|sois)\b",
        re.IGNORECASE,
    ),
    "voseo": re.compile(
        r"\b(?:vos|sos|tenés|podés|querés|sabés|hacés|decís|creés|venís|pensás|seguís|mirá|andá|che)\b", re.IGNORECASE
    ),
    "ustedeo": re.compile(r"\busted\b", re.IGNORECASE),
}
MIN_FORMS = 5  # fewer forms of address are too few to call a habit
CLEAR = 0.8  # share of one way among them


def language_of(replies: Sequence[str]) -> str | None:
    """The language of most replies, "es" or "en"; None when none is long enough to tell."""
    votes = Counter(language for reply in replies if (language := spoken_language(reply)))
    return max(sorted(votes), key=votes.__getitem__) if votes else None


def dialect_of(replies: Sequence[str]) -> tuple[Dialect, str]:
    """The way of address at least four in five Spanish second-person forms belong to, else "any"; and the reason."""
    counts: Counter[Dialect] = Counter()
    for reply in replies:
        spoken = without_stage_directions(reply)
        for dialect, forms in _FORMS.items():
            counts[dialect] += len(forms.findall(spoken))
    total = counts.total()
    said = ", ".join(f"{name} {counts[name]}" for name in _FORMS)
    if total < MIN_FORMS:
        return "any", f"too few forms of address to tell ({said})"
    first = max(_FORMS, key=lambda name: counts[name])
    if counts[first] < CLEAR * total:
        return "any", f"mixed forms of address ({said})"
    return first, f"forms of address in her replies: {said}"
