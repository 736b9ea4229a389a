"""Which language a short chat line is in, for the languages a persona speaks and the few it is confused with.

Short lines without accents fool detectors that know 75 languages; against a handful the same detector is right on
nearly all of them. Below three words nobody can tell, so nothing is claimed. Other alphabets are told by their letters.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from lingua import IsoCode639_1, Language, LanguageDetector, LanguageDetectorBuilder

from memory_service.scoring.text import spoken, without_links, words

MIN_WORDS = 3
# Languages a Spanish or English line could be taken for; more of them make short lines less certain, not more.
_AGAINST = ("es", "en", "fr", "de", "pt", "it")
_FOREIGN_SCRIPTS = (
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "HANGUL",
    "CYRILLIC",
    "ARABIC",
    "HEBREW",
    "THAI",
    "DEVANAGARI",
    "GREEK",
)


def confidences(text: str, languages: tuple[str, ...]) -> dict[str, float] | None:
    """Probability per ISO 639-1 code (they sum to 1), or None when the line is too short to tell.

    `languages` are the persona's own; unknown codes raise ValueError.
    """
    plain = without_links(spoken(text))
    script = _foreign_script(plain)
    if script is not None:
        return {f"script:{script.lower()}": 1.0}
    if len(words(plain)) < MIN_WORDS:
        return None
    values = _detector(tuple(sorted({*languages, *_AGAINST}))).compute_language_confidence_values(plain)
    return {value.language.iso_code_639_1.name.lower(): value.value for value in values}


@lru_cache(maxsize=8)
def _detector(codes: tuple[str, ...]) -> LanguageDetector:
    chosen = []
    for code in codes:
        iso = getattr(IsoCode639_1, code.upper(), None)
        if iso is None:
            raise ValueError(f"persona settings: `style.languages` has {code!r}, which is no ISO 639-1 code")
        chosen.append(Language.from_iso_code_639_1(iso))
    return LanguageDetectorBuilder.from_languages(*chosen).build()


def _foreign_script(text: str) -> str | None:
    """The script most letters belong to, when that is not Latin."""
    letters = [c for c in text if c.isalpha()]
    counts: dict[str, int] = {}
    for letter in letters:
        if ord(letter) > 0x24F:
            name = unicodedata.name(letter, "").split(" ", 1)[0]
            counts[name] = counts.get(name, 0) + 1
    for script in _FOREIGN_SCRIPTS:
        if counts.get(script, 0) * 2 > len(letters):
            return script
    return None
