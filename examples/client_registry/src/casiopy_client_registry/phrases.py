"""Understands what is said about clients, in Spanish. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

# RFC 5321's longest address; names are shown in a line.
MAX_EMAIL, MAX_NAME = 254, 100

_CREATE = re.compile(
    r"\b(?:cre(?:a|ar|as|e|en|emos|ame)|registr(?:a|ar|e|ame)|a(?:ñ|n)ad(?:e|ir|eme)|agreg(?:a|ar|ue|ame)"
    r"|da(?:r)? de alta|alta de)\b"
)
_CLIENT = re.compile(r"\bclient[ea]s?\b")
_ANOTHER = re.compile(r"\b(?:otr[oa]s?|uno mas|una mas|un nuevo|una nueva)\b")
_LOOK = re.compile(
    r"\b(?:list(?:a|ar|ado|ame)|muestra(?:me)?|mostrar|ver|ensena(?:me)?|consult(?:a|ar|ame)|dime|dame|busca(?:r|me)?|cuant[oa]s"
    r"|que clientes|cuales|quien(?:es)?|hay|tenemos|tengo|existe)\b"
)
_CANCEL = re.compile(r"^\W*(?:cancela\w*|dejalo|olvidalo|olvida(?: eso)?|nada|no importa|ya no)\b")
_EMAIL_LIKE = re.compile(r"[^\s<>(),;:\"]+@[^\s<>(),;:\"]+")
_EMAIL = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._%+-]{0,62}[A-Za-z0-9_%+-])?@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}"
)
_NAMED = re.compile(
    r"(?:\bllamad[oa]s?|\bque se llama|\bse llama|\b(?:con|de|su|el)? ?nombre(?: es| de)?|\bcliente?a?)\s*:?\s+(?P<name>.+)",
    re.IGNORECASE,
)
_NAME_ENDS = re.compile(
    r"\s*(?:,|;|\||\s(?:con|y)\s(?:su\s|el\s)?(?:e-?mail|correo|mail|direcci[oó]n)\b|\s(?:e-?mail|correo|mail)\b|\scon\b|\s[^\s]+@"
    r"|[.!?]\s*$|[.!?]\s).*",
    re.IGNORECASE | re.DOTALL,
)
_EMPTY_NAME = re.compile(r"(?:nuev[oa]|otr[oa]|por favor|llamad[oa]|con|y|que|un|una|el|la)?", re.IGNORECASE)
# How the answers that end a request begin.
DONE, REFUSED = "✅", "❌"


class Exchange(Protocol):
    """What is read of the session's history."""

    @property
    def said(self) -> str: ...
    @property
    def answered(self) -> str: ...
    @property
    def agent(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Request:
    """What is known of the client to create. `wrong_email`: something that was meant as an address and is none."""

    name: str | None = None
    email: str | None = None
    wrong_email: str | None = None

    def then(self, later: "Request") -> "Request":
        """What is known after more was said; the newer word counts."""
        return Request(later.name or self.name, later.email or self.email, None if later.email else later.wrong_email)


def plain(text: str) -> str:
    """Lower case, without accents (ñ becomes n) and with single spaces."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    return " ".join("".join(char for char in decomposed if unicodedata.category(char) != "Mn").split())


def wants_creation(message: str, *, in_talk_of_clients: bool) -> bool:
    """Whether a client is to be created; after talk of clients "crea otro" says enough."""
    flat = plain(message)
    if _CREATE.search(flat) is None:
        return False
    return bool(_CLIENT.search(flat)) or (in_talk_of_clients and bool(_ANOTHER.search(flat)))


def wants_list(message: str) -> bool:
    """Whether clients are to be shown."""
    flat = plain(message)
    return bool(_CLIENT.search(flat) and _LOOK.search(flat)) and _CREATE.search(flat) is None


def cancels(message: str) -> bool:
    """Whether the question just asked is taken back."""
    return _CANCEL.match(plain(message)) is not None


def tidy_name(text: str) -> str | None:
    """A name on one line, without what separates it from other things; None when nothing is left."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    name = " ".join(shown.replace("|", " ").split()).strip(" \"'«».,;:!?¡¿")
    return name[:MAX_NAME].strip() or None


def read(message: str) -> Request:
    """Name and address in a message that asks for a client."""
    found = _NAMED.search(message)
    name = None
    if found is not None:
        said = _NAME_ENDS.sub("", found["name"])
        inner = _NAMED.search(said)  # "un cliente llamado Juan": the name follows the second word
        candidate = tidy_name(_NAME_ENDS.sub("", inner["name"]) if inner else said)
        name = None if candidate is None or _EMPTY_NAME.fullmatch(candidate) or "@" in candidate else candidate
    return Request(name, *_address(message))


def read_answer(message: str, known: Request) -> Request:
    """What a message adds that answers the question for what is missing."""
    told = read(message)
    if told.name or told.email or told.wrong_email:
        return told
    if known.name is None and known.email is not None:
        return Request(tidy_name(message))
    return Request(wrong_email=tidy_name(message)) if known.name is not None else Request(tidy_name(message))


def _address(message: str) -> tuple[str | None, str | None]:
    found = _EMAIL_LIKE.search(message)
    if found is None:
        return None, None
    address = found[0].strip(".,;:!?'\"")
    valid = _EMAIL.fullmatch(address) is not None and len(address) <= MAX_EMAIL and ".." not in address
    return (address, None) if valid else (None, address)


def pending(history: Sequence[Exchange], agent: str) -> Request | None:
    """What is known of a client that was asked for and not created yet; None when nothing is open.

    Only the exchanges right before this message count: whoever has talked of something else has dropped the question.
    """
    open_request: Request | None = None
    for exchange in history:
        if exchange.agent != agent or exchange.answered.startswith((DONE, REFUSED)):
            open_request = None
        elif open_request is None or wants_creation(exchange.said, in_talk_of_clients=True):
            open_request = read(exchange.said)
        else:
            open_request = open_request.then(read_answer(exchange.said, open_request))
    return open_request


def sought_name(message: str) -> str | None:
    """The name of the one client that is asked for; None: all of them."""
    found = re.search(
        r"\bcliente?a?\s+(?:que se llama\s+|llamad[oa]\s+|con nombre\s+|de nombre\s+)?(?P<name>[^?¿.!]+)",
        message,
        re.IGNORECASE,
    )
    if found is None or re.search(r"\bclientes\b", plain(message)):
        return None
    return tidy_name(found["name"])
