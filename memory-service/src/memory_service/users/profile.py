"""A viewer's current memories as the fields of a profile: shown, told to a model, and set by name. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from memory_service.errors import BadRequest
from memory_service.fields import storable_object
from memory_service.memories.draft import Draft
from memory_service.memories.profile import FIELDS, MAX_CONTENT, MAX_KEY, MemoryType, content_of
from memory_service.memories.schemas import MemoryItem

# Far more than one profile has; each is a handful of statements in one transaction.
MAX_FIELDS = 200
# Memories without a name that a prompt is told of. All of them would fill any model's context; recall picks what matters.
MAX_NOTES = 100

_PLACES = {name: place for place, name in enumerate(FIELDS)}


def known_fields(items: Iterable[MemoryItem]) -> dict[str, MemoryItem]:
    """The memory behind each field, in the order of FIELDS and then by name; `items` come newest first."""
    newest: dict[str, MemoryItem] = {}
    for item in items:
        if item.key is not None:
            newest.setdefault(item.key, item)
    return {name: newest[name] for name in sorted(newest, key=lambda name: (_PLACES.get(name, len(_PLACES)), name))}


def context_of(items: Iterable[MemoryItem]) -> str:
    """What a model is told of the viewer, a line each: the fields, then up to MAX_NOTES of the rest, newest first.

    Empty when nothing is known.
    """
    known = list(items)
    told = [
        content_of(name, value)
        for name, item in known_fields(known).items()
        if not _empty(value := item.value_or_words)
    ]
    told += list(dict.fromkeys(item.content for item in known if item.key is None))[:MAX_NOTES]
    # A line each, whatever was written: a memory must not look like a line of the prompt.
    lines = [f"- {' '.join(text.split())}" for text in told]
    return "\n".join(["User Information:", *lines]) if lines else ""


def _empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` as they are to be stored: a single value of a list field becomes its only item.

    Raises:
        BadRequest: a name or value cannot be stored; the message names the field.
    """
    if len(fields) > MAX_FIELDS:
        raise BadRequest(f"At most {MAX_FIELDS} fields at once. Send the others in another request.")
    return {name: _checked(name, value) for name, value in fields.items()}


def _checked(name: str, value: Any) -> Any:
    if not 1 <= len(name) <= MAX_KEY or name != name.strip() or not name.isprintable():
        raise BadRequest(
            f"{name[:80]!r} cannot be a field's name: 1 to {MAX_KEY} printable characters, no white space at its ends."
        )
    field = FIELDS.get(name)
    if field is not None and field.is_list and isinstance(value, str | int | float):
        value = [value]
    try:
        storable_object({"value": value}, "the value")
    except ValueError as error:
        raise BadRequest(f"{name}: {error}. Change it, or leave the field out.") from None
    if len(content_of(name, value)) > MAX_CONTENT:
        raise BadRequest(f"{name}: takes more than {MAX_CONTENT} characters. Shorten it, or leave the field out.")
    return value


def draft_of(name: str, value: Any, known: MemoryItem | None) -> Draft | None:
    """What to store so that the field has this value; None when it has it already."""
    if known is not None and known.persona is None and _same(known.value, value):
        return None
    own_type: MemoryType = "fact" if known is None else known.type
    kind = FIELDS[name].type if name in FIELDS else own_type
    return Draft(type=kind, content=content_of(name, value), key=name, value=value)


def _same(left: Any, right: Any) -> bool:
    # As JSON: to Python, True is 1.
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
