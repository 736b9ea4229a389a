"""Is the reply in the language it should be in?

Candidates are restricted to Spanish and English: on short chat lines lingua was right on 34 of 36 that way and on 23 of 36
when it could choose among 75 languages. Below three spoken words it is a coin toss, so such replies are not judged.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from persona_training.evaluation.battery import ReplyLanguage
from persona_training.evaluation.words import without_stage_directions, words

if TYPE_CHECKING:
    from lingua import LanguageDetector

MIN_WORDS = 3


@cache
def _detector() -> LanguageDetector:
    from lingua import Language, LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_languages(Language.SPANISH, Language.ENGLISH).build()


@lru_cache(maxsize=16_384)  # the same replies are judged by several metrics, and again after every round of drawing
def spoken_language(reply: str) -> str | None:
    """ "es", "en", or None when there are fewer than three spoken words to tell by."""
    spoken = without_stage_directions(reply)
    if len(words(spoken)) < MIN_WORDS:
        return None
    language = _detector().detect_language_of(spoken)
    return None if language is None else language.iso_code_639_1.name.lower()


def in_expected_language(reply: str, expected: ReplyLanguage) -> float:
    """1.0 or 0.0; NaN where any language will do or the reply is too short to tell."""
    if expected == "any":
        return math.nan
    language = spoken_language(reply)
    return math.nan if language is None else float(language == expected)
