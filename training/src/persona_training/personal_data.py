"""Finding what must not be learned by heart: access keys, and numbers and addresses that belong to a person.

A second look before the first step. The memory service redacts what it exports, with a longer list and with the names it
knows; rows from anywhere else were never redacted at all. Formats with check digits are confirmed by them, so that a high
score in a game is no identity card; names are not looked for, because no pattern tells a person's from a character's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Where most Spanish-speaking viewers call from; without a region, a number lacking its + prefix is never recognised.
PHONE_REGIONS = ("ES", "MX", "AR", "CO", "US")
MIN_PHONE_DIGITS = 7

# Keys with a prefix of their own (OpenAI, GitHub, GitLab, Slack, Hugging Face, Google, AWS), private keys, passwords in
# addresses, and whatever stands behind a word like "token =".
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|ghs|glpat|xox[abp]|hf)[-_][A-Za-z0-9_-]{16,}"
    r"|\bgithub_pat_\w{20,}|\bAIza[\w-]{30,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b[a-z][a-z0-9+.-]{0,20}://[^\s/@:]+:[^\s/@]+@\S+"
    r"|\b(?:api[_-]?key|secret|token|passw(?:or)?d|contraseña)\b[\"']?\s*[:=]\s*[\"']?(?=[\w+/.-]*\d)[\w+/.-]{12,}",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,6}\.[^\W\d_]{2,24}\b")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\d.,-])\d(?:[ .-]?\d){12,18}(?![\d])")
_SPANISH_ID = re.compile(r"(?<![A-Za-z0-9])(?:[XYZ][ -]?\d{7}|\d{8})[ -]?[A-Z](?![A-Za-z0-9])", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")


class Found(NamedTuple):
    """What it is, and where: characters [start, end) of the text."""

    kind: str
    start: int
    end: int


Span = tuple[int, int]
Detector = Callable[[str], Iterator[Span]]


def find_personal_data(text: str) -> list[Found]:
    """Everything found, in order of position; where two kinds overlap, the first of `DETECTORS` counts."""
    found: list[Found] = []
    for kind, detect in DETECTORS:
        for start, end in detect(text):
            if not any(start < other.end and end > other.start for other in found):
                found.append(Found(kind, start, end))
    return sorted(found, key=lambda one: one.start)


def shown(text: str, found: Found) -> str:
    """Enough of it to find it in the file, and not the thing itself: "6…8"."""
    value = text[found.start : found.end]
    return f"{value[0]}…{value[-1]}"


def _secrets(text: str) -> Iterator[Span]:
    return _whole(_SECRET, text)


def _emails(text: str) -> Iterator[Span]:
    return _whole(_EMAIL, text)


def _ibans(text: str) -> Iterator[Span]:
    from stdnum import iban

    for match in _IBAN.finditer(text):
        words = match.group().split(" ")  # a word in capitals may follow the number
        for count in range(len(words), 0, -1):
            value = " ".join(words[:count])
            if iban.is_valid(value):
                yield match.start(), match.start() + len(value)
                break


def _cards(text: str) -> Iterator[Span]:
    from stdnum import luhn

    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if digits[0] in "23456" and luhn.is_valid(digits):
            yield match.span()


def _identity_numbers(text: str) -> Iterator[Span]:
    from stdnum.es import dni, nie

    for match in _SPANISH_ID.finditer(text):
        value = re.sub(r"[ -]", "", match.group()).upper()
        if dni.is_valid(value) or nie.is_valid(value):
            yield match.span()


def _machines(text: str) -> Iterator[Span]:
    """Public IP addresses; those of the local machine and of home networks belong to everybody."""
    for match in _IPV4.finditer(text):
        try:
            address = ipaddress.ip_address(match.group())
        except ValueError:
            continue
        if address.is_global:
            yield match.span()


def _phones(text: str) -> Iterator[Span]:
    if sum(character.isdigit() for character in text) < MIN_PHONE_DIGITS:
        return
    import phonenumbers

    for region in PHONE_REGIONS:
        for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.VALID):
            groups = re.findall(r"\d+", match.raw_string)
            if len("".join(groups)) >= 2 * len(groups):  # counting aloud, "1 2 3 4 …", is no number to call
                yield match.start, match.end


def _whole(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    for match in pattern.finditer(text):
        yield match.span()


DETECTORS: tuple[tuple[str, Detector], ...] = (
    ("secret", _secrets),
    ("e-mail", _emails),
    ("bank account", _ibans),
    ("card", _cards),
    ("identity number", _identity_numbers),
    ("IP address", _machines),
    ("telephone", _phones),
)
