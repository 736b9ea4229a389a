"""Which language she speaks, and how she addresses whom she speaks to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from persona_training.evaluation.battery import Dialect
from persona_training.evaluation.dialect import Form, forms_of_address
from persona_training.evaluation.language import spoken_language

MIN_FORMS = 5  # fewer forms of address are too few to call a habit
CLEAR = 0.8  # share of one way among them


def language_of(replies: Sequence[str]) -> str | None:
    """The language of most replies, "es" or "en"; None when none is long enough to tell."""
    votes = Counter(language for reply in replies if (language := spoken_language(reply)))
    return max(sorted(votes), key=votes.__getitem__) if votes else None


def dialect_of(replies: Sequence[str]) -> tuple[Dialect, str]:
    """The way of address at least four in five telling forms belong to, else "any"; and the reason."""
    counts = Counter(form for reply in replies for form in forms_of_address(reply))
    forms = get_args(Form)
    said = ", ".join(f"{form} {counts[form]}" for form in forms)
    if counts.total() < MIN_FORMS:
        return "any", f"too few forms of address to tell ({said})"
    first: Form = max(forms, key=lambda form: counts[form])
    if counts[first] < CLEAR * counts.total():
        return "any", f"mixed forms of address ({said})"
    return first, f"forms of address in her replies: {said}"
