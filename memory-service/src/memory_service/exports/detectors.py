"""Finding personal data in short Spanish and English chat, without any model: patterns, checksums and number plans.

A detector takes a text and yields (start, end) of what it found. Number formats are confirmed by their check digits
where they have any, so that a high score in a game is no identity card; a keyword beside a number ("DNI", "pasaporte")
is as good as a check digit, because people mistype.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

import phonenumbers
from stdnum import iban, luhn
from stdnum.ar import cuit
from stdnum.es import dni, nie
from stdnum.mx import curp
from stdnum.us import ssn

Span = tuple[int, int]
Detector = Callable[[str], Iterator[Span]]

# Where most Spanish-speaking viewers call from; without a region, a number lacking its + prefix is never recognised.
PHONE_REGIONS = ("ES", "MX", "AR", "CO", "US")

_SECRET = re.compile(
    r"\b[a-z][a-z0-9+.-]{0,20}://[^\s/@:]+:[^\s/@]+@\S+"  # user:password@host
    r"|\b[a-z][a-z0-9+.-]{0,20}://\S*[?&#](?:[\w-]*(?:token|key|secret|passw\w*|pwd|auth|sig|session\w*)[\w-]*)=\S+"
    r"|\b(?:https?://)?(?:www\.)?(?:instagram|twitter|x|tiktok|facebook|t|linkedin|twitch|onlyfans"
    r"|threads)\.(?:com|me|tv|net)/\S+"
    r"|\b(?:https?://)?(?:discord\.gg|wa\.me|discord\.com/users)/\S+"
    r"|\b(?:sk|pk|rk|ghp|gho|glpat|xox[abp]|hf|aimsk_live)[-_][A-Za-z0-9_-]{16,}",
    re.IGNORECASE,
)
# What chat templates write around a turn: ChatML and Llama 3 (DeepSeek's with full-width bars), Llama 2 and Mistral, Gemma,
# sentence ends, Qwen's reasoning and tools. Read by a tokenizer, such text in a message would open a turn of its own.
_CONTROL = re.compile(
    r"<[|｜][^\s<>|｜]{1,64}[|｜]>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT)\]|<</?SYS>>"
    r"|</?s>|<(?:bos|eos|pad|unk|mask)>|\[(?:CLS|SEP|PAD|UNK|MASK|BOS|EOS)\]"
    r"|<(?:start|end)_of_(?:turn|image)>|</?(?:think|tool_call|tool_response)>"
)
# Lengths are those of the standard; without them a long message without an address would be tried in every way.
_DOT = r"(?:\.|\s*[\[(]\s*(?:dot|punto)\s*[\])]\s*|\s+(?:dot|punto)\s+)"
_AT = r"(?:@|\s*[\[(]\s*(?:at|arroba|@)\s*[\])]\s*|\s+arroba\s+)"
_EMAIL = re.compile(
    rf"[\w.+%-]{{1,64}}{_AT}[\w-]{{1,63}}(?:{_DOT}[\w-]{{1,63}}){{0,6}}{_DOT}[^\W\d_]{{2,24}}\b", re.IGNORECASE
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}", re.IGNORECASE)
_CARD = re.compile(r"(?<![\d.,-])\d(?:[ .-]?\d){12,18}(?![\d])")
_SPANISH_ID = re.compile(
    r"(?<![A-Za-z0-9])(?:[XYZ][ -]?\d{7}|\d{8}|\d{1,2}\.\d{3}\.\d{3})[ -]?[A-Z](?![A-Za-z0-9])", re.IGNORECASE
)
_OTHER_ID = re.compile(
    r"(?<![\w-])(?:\d{3}-\d{2}-\d{4}|\d{2}-\d{8}-\d|[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d)(?![\w-])", re.IGNORECASE
)
_NAMED_ID = re.compile(
    r"\b(?:d\.?n\.?i|n\.?i\.?[ef]|pasaporte|passport|c[eé]dula|curp|rfc|cuit|cuil|ssn|social security(?: number)?"
    r"|n[uú]mero de (?:la )?seguridad social|matr[ií]cula|license plate)\b[^\w\n]{0,3}(?:(?:es|is|n[uú]mero"
    r"|number|no|n[º°o]|el|la|m[ií]o|my"
    r"|de ejemplo)\b[^\w\n]{0,3}){0,4}(?P<value>(?=[A-Z0-9 .-]*\d{3})[A-Z0-9](?:[ .-]?[A-Z0-9]){4,19})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_PHONE_LIKE = re.compile(
    r"(?<![\w.,-])(?:\+\d{1,3}[\s.()-]{0,3}(?:\d[\s.()-]{0,2}){6,12}\d|(?:(?:00"
    r"|\+)?34[\s.-]?)?[6789](?:[\s./-]?\d){8})(?![\d])"
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE)
_COORDINATES = re.compile(r"(?<![\d.])-?\d{1,2}\.\d{4,}\s*[,;/ ]\s*-?\d{1,3}\.\d{4,}")

_UNIT = (
    r"(?!\d|[.,]\d|\s*(?:horas?|minutos?|segundos?|veces|a[nñ]os?|d[ií]as?|semanas?|meses|mes|personas?|amigos?|km"
    r"|kil[oó]metros?|metros?|m\b|euros?|€|%|h\b|hours?|minutes?|times|years?|days?|people|friends|miles|gatos?"
    r"|perros?|cosas|tiendas?|bares?))"
)
# Words that end a street's name: after one of these the number belongs to something else.
_NOT_STREET = (
    r"(?!(?:con|y|e|a|en|por|sin|que|hay|hab[ií]a|tengo|tiene|vi|hace|hasta|durante|como|m[aá]s|cuando|para|es"
    r"|son|est[aá]|unos|unas|un|una|ya|pero|me|te|se"
    r"|lleva|dura|desde|casi|sobre|vieron|pas[oó]|pasan)\b)"
)
_STREET_WORD = rf"{_NOT_STREET}[^\W\d_][\w'’.ºª-]*"
_SURE_STREET = (
    r"(?:calle|c/|c\.|avda?\.?|avenida|av\.|plaza|pza\.?|plz\.?|carretera|ctra\.?|travesía|callejón|glorieta"
    r"|urbanización|carrer|calzada)"
)
_MAYBE_STREET = (
    r"(?:[Pp]aseo|[Pp]º|[Rr]onda|[Cc]amino|[Rr]ambla|[Vv]ía|[Pp]asaje|[Cc]uesta|[Cc]olonia|[Bb]arrio|[Pp]arque"
    r"|[Bb]ulevar|[Pp]asseig|[Mm]uelle)"
)
_TAIL_ES = (
    r"(?:\s*[,-]?\s*(?:\d{1,2}\s?\.?\s?[ºª°oa]\b\.?\s*(?:izquierda|derecha|izq\w*|dcha\w*|centro|[A-Z]\b)?"
    r"|(?:piso|planta|portal|bloque|esc\w*|puerta|pta\.?|apto\.?|depto\.?"
    r"|bajo|ático)\.?\s*(?:\d{1,3}\w?|[A-Z])?\b)){0,4}"
    r"(?:\s*,?\s*(?:c\.?p\.?\s*)?\d{5}\b(?:\s*,?\s*[A-ZÁÉÍÓÚÑ][\wáéíóúñ]+(?: (?:de |del |la |los "
    r"|las )*[A-ZÁÉÍÓÚÑ][\wáéíóúñ]+){0,3})?)?"
)
_STREET_ES = re.compile(
    rf"(?<!\w)(?:(?i:{_SURE_STREET})\s*(?:{_STREET_WORD}[ ]){{0,5}}{_STREET_WORD}"
    rf"|{_MAYBE_STREET}\s+(?:(?:de|del|la|las|los|el)\s+){{0,3}}[A-ZÁÉÍÓÚÑ][\w'’.-]*(?:\s+{_STREET_WORD}){{0,4}})"
    rf"\s*,?\s*(?:n[º°.o]{{0,2}}|n[uú]m(?:ero|\.)?|#)?\s*\d{{1,4}}(?:\s?(?:bis|[A-D]))?\b{_UNIT}{_TAIL_ES}"
)
_STREET_CO = re.compile(
    r"\b(?:calle|cl\.?|carrera|cra\.?|kra?\.?|diagonal|transversal|avenida"
    r"|av\.?)\s*\d{1,3}\s?[a-z]?\s*(?:bis\s*)?(?:#|n[o°º.]{1,2}|núm\w*)\s*\d{1,3}\s?[a-z]?\s*-\s*\d{1,3}",
    re.IGNORECASE,
)
_NOT_STREET_EN = (
    r"(?!(?:the|a|an|of|down|up|on|in|this|that|my|your|and|or|miles?|minutes?|hours?|times|more|people|years?|days?"
    r"|per|to|for|is|are|at)\b)"
)
_STREET_EN = re.compile(
    rf"(?<![\w.,#-])\d{{1,5}}[A-Za-z]?\s+(?:[NSEW]\.?\s+)?(?:{_NOT_STREET_EN}[A-Za-z][\w'’.-]*\s+){{1,4}}"
    r"(?:(?i:street|avenue|ave|road|boulevard|blvd|lane)|St|Rd|Ln|Drive|Dr|Court|Ct|Place|Pl|Way|Terrace|Square"
    r"|Highway|Hwy|Parkway)\b\.?"
    r"(?:\s*,?\s*(?:apt|apartment|suite|unit|flat"
    r"|#)\.?\s*\w{1,5})?(?:\s*,\s*[A-Z][a-z]+(?: [A-Z][a-z]+){0,2})?(?:\s*,?\s*[A-Z]{2})?(?:\s+\d{5}(?:-\d{4})?)?"
)
_POSTAL = re.compile(
    r"\b(?:c\.?p\.?|c[oó]digo postal|zip(?: code)?|postal code|postcode)\s*(?:es|is|:|=|el)?\s*[A-Z0-9]{0,2}\d{4,5}\b",
    re.IGNORECASE,
)


def secrets(text: str) -> Iterator[Span]:
    """Addresses of pages that carry a password or token or name a person's profile, and access keys."""
    return _whole(_SECRET, text)


def emails(text: str) -> Iterator[Span]:
    """E-mail addresses, also spelled out (`ana arroba correo punto es`)."""
    return _whole(_EMAIL, text)


def ibans(text: str) -> Iterator[Span]:
    """Bank accounts: a valid IBAN, or a Spanish one of the right length with a slip in it."""
    for match in _IBAN.finditer(text):
        for end in _ends(match):
            value = re.sub(r"[ -]", "", text[match.start() : end])
            if iban.is_valid(value) or re.fullmatch(r"ES\d{22}", value, re.IGNORECASE):
                yield match.start(), end
                break


def cards(text: str) -> Iterator[Span]:
    """Payment cards: 13 to 19 digits that pass the Luhn check, or four groups of four."""
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if (luhn.is_valid(digits) and digits[0] in "23456") or re.fullmatch(
            r"\d{4}([ .-])\d{4}\1\d{4}\1\d{4}", match.group()
        ):
            yield match.span()


def identity_numbers(text: str) -> Iterator[Span]:
    """DNI and NIE by their letter, CURP, CUIT and SSN by their rules, and any number called by such a name."""
    for match in _SPANISH_ID.finditer(text):
        value = re.sub(r"[ .-]", "", match.group()).upper()
        if dni.is_valid(value) or nie.is_valid(value):
            yield match.span()
    for match in _OTHER_ID.finditer(text):
        value = match.group().upper()
        if ssn.is_valid(value) or cuit.is_valid(value) or curp.is_valid(value):
            yield match.span()
    for match in _NAMED_ID.finditer(text):
        yield match.span("value")


def phones(text: str) -> Iterator[Span]:
    """Telephone numbers of the regions above, with or without prefix, however they are grouped."""
    if sum(c.isdigit() for c in text) < 7:
        return
    yield from _whole(_PHONE_LIKE, text)
    for region in PHONE_REGIONS:
        for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.VALID):
            yield match.start, match.end


def addresses_of_machines(text: str) -> Iterator[Span]:
    """IP addresses. Loopback and the unspecified address belong to everybody and stay."""
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(match.group())
            except ValueError:
                continue
            if not (address.is_loopback or address.is_unspecified):
                yield match.span()


def places(text: str) -> Iterator[Span]:
    """Street addresses with a house number, postal codes called so, and coordinates."""
    for pattern in (_STREET_ES, _STREET_CO, _STREET_EN, _POSTAL, _COORDINATES):
        yield from _whole(pattern, text)


# In order of precedence: an address of a page may contain an e-mail, a bank account contains what looks like a phone.
def control_tokens(text: str) -> Iterator[Span]:
    """Marks of chat templates: typed by a viewer they would become turns that nobody took."""
    yield from _whole(_CONTROL, text)


DETECTORS: tuple[tuple[str, Detector], ...] = (
    ("secret", secrets),
    ("email", emails),
    ("iban", ibans),
    ("card", cards),
    ("id", identity_numbers),
    ("ip", addresses_of_machines),
    ("address", places),
    ("phone", phones),
    ("control_tokens", control_tokens),
)


def _whole(pattern: re.Pattern[str], text: str) -> Iterator[Span]:
    for match in pattern.finditer(text):
        yield match.span()


def _ends(match: re.Match[str]) -> Iterator[int]:
    """Ends of the match from the longest to the shortest: an IBAN may be followed by a word."""
    for end in range(match.end(), match.start() + 14, -1):
        if end == match.end() or not (match.string[end - 1].isalnum() and match.string[end].isalnum()):
            yield end
