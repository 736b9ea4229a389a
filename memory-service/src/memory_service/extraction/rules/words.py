"""The closed word lists of `words.toml`, as sets to look in and as pieces of patterns. Pure."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

_TABLES = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


def _forms(word: str) -> list[str]:
    """`camarero/a` → camarero, camarera; a consonant gets the ending: `programador/a` → programador, programadora."""
    if not word.endswith("/a"):
        return [word]
    stem = word[:-2]
    return [stem, (stem[:-1] if stem.endswith(("o", "e")) else stem) + "a"]


def _words(name: str) -> frozenset[str]:
    table = _TABLES[name]
    listed = table.split() if isinstance(table, str) else table
    return frozenset(form for word in listed for form in _forms(word))


NAMES = _words("names")
NO_NAMES = _words("no_names")
COUNTRIES = _words("countries") | _words("countries_of_several_words")
PLACES = COUNTRIES | _words("cities") | _words("cities_of_several_words")
NO_PLACES = _words("no_places")
COMPANIES = _words("companies")
NO_COMPANIES = _words("no_companies")
FUNCTION_WORDS = _words("function_words")
REJECTED = _words("rejected")
NAMES_THAT_ARE_WORDS = _words("names_that_are_words")
HOBBY_VERBS: dict[str, str] = _TABLES["hobby_verbs"]

_NAMED = {
    "firstname": NAMES,
    "country": COUNTRIES,
    "place": PLACES,
    "nationality": _words("nationalities"),
    "language": _words("languages"),
    "role": _words("roles"),
    "role_adjective": _words("role_adjectives"),
    "no_role_adjective": _words("no_role_adjectives"),
    "trade": _words("trades"),
    "company": COMPANIES,
    "trait": _words("traits"),
    "diet": _words("diets"),
    "food": _words("foods"),
    "subject": _words("subjects"),
    "technology": _words("technologies"),
    "skill_verb_es": _words("skill_verbs_es"),
    "skill_verb_en": _words("skill_verbs_en"),
    "hobby_verb": frozenset(HOBBY_VERBS),
    "instrument": _words("instruments"),
    "sport": _words("sports"),
    "relative": _words("relatives"),
    "animal": _words("animals"),
}

_UNITS_ES = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete"
)
_UNITS_EN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_TENS_ES = ["treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"]
_TENS_EN = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def _numbers() -> dict[str, int]:
    numbers = {word: value for value, word in enumerate((_UNITS_ES + " dieciocho diecinueve veinte").split())}
    numbers |= {word: value for value, word in enumerate((_UNITS_EN + " eighteen nineteen").split())}
    digits_es, digits_en = _UNITS_ES.split()[1:10], _UNITS_EN.split()[1:10]
    for unit, word in enumerate(digits_es, 1):
        numbers["veinti" + word] = 20 + unit
    numbers["veintiun"] = 21
    for ten, word in enumerate(_TENS_ES, 3):
        numbers[word] = ten * 10
        numbers |= {f"{word} y {digit}": ten * 10 + unit for unit, digit in enumerate([*digits_es], 1)}
        numbers[f"{word} y un"] = ten * 10 + 1
    for ten, word in enumerate(_TENS_EN, 2):
        numbers[word] = ten * 10
        numbers |= {f"{word}{gap}{d}": ten * 10 + u for u, d in enumerate(digits_en, 1) for gap in " -"}
    return numbers


NUMBERS = _numbers()
# Longest first: `north carolina` before `north`, `node.js` before `node`.
_ALTERNATIVES = {
    name: "(?:"
    + "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))
    + r")(?![\w+#'-])"
    for name, words in (_NAMED | {"number_word": frozenset(NUMBERS)}).items()
}
_ALTERNATIVES["number"] = r"(?:\d{1,3}(?![\w%]|[.,]\d)|" + _ALTERNATIVES.pop("number_word") + ")"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def compiled(pattern: str, pieces: Mapping[str, str] | None = None) -> re.Pattern[str]:
    """A pattern with `{role}` and the like filled in; an unknown list or piece raises KeyError."""

    def piece(found: re.Match[str]) -> str:
        name = found.group(1)
        return _PLACEHOLDER.sub(piece, pieces[name]) if pieces and name in pieces else _ALTERNATIVES[name]

    return re.compile(_PLACEHOLDER.sub(piece, pattern))


def number(text: str) -> int | None:
    """`27` and `veintisiete` as 27; None when it is no number up to 999."""
    return int(text) if text.isascii() and text.isdigit() else NUMBERS.get(text)
