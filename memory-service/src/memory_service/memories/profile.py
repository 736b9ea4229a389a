"""The fields of a viewer's profile: each is a memory with the field's name as its key. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MemoryType = Literal["fact", "preference", "event", "system"]

# Characters of a memory's sentence and of its key; the table's CHECK constraints hold the same limits.
MAX_CONTENT, MAX_KEY = 10_000, 255


@dataclass(frozen=True, slots=True)
class Field:
    """One field: the type of its memory, and whether its value is a list of items."""

    name: str
    type: MemoryType
    is_list: bool = False


def _fields(type_: MemoryType, names: str, *, is_list: bool = False) -> dict[str, Field]:
    return {name: Field(name, type_, is_list) for name in names.split()}


FIELDS: Mapping[str, Field] = {
    **_fields("fact", "name age birthday gender nationality location role company"),
    **_fields("fact", "skills education family pets", is_list=True),
    **_fields("fact", "languages_spoken languages_native languages_learning", is_list=True),
    **_fields("fact", "habits goals personality_traits", is_list=True),
    **_fields("preference", "likes dislikes hobbies interests favorites", is_list=True),
    **_fields("preference", "diet exercise work_style"),
}


def content_of(key: str, value: Any) -> str:
    """The sentence stored for a field: `likes: Python, rain`."""
    if isinstance(value, list | tuple):
        return f"{key}: {', '.join(_plain(item) for item in value)}"
    return f"{key}: {_plain(value)}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(inner)}" for name, inner in value.items())
    return str(value)
