"""A viewer's memories as the four sections a chat client knows: profile, preferences, facts, todos."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.fields import Storable, storable
from memory_service.memories import service as memories
from memory_service.memories.draft import Draft
from memory_service.memories.profile import MAX_CONTENT, MAX_KEY, content_of
from memory_service.memories.repository import hold_user
from memory_service.memories.schemas import MemoryItem
from memory_service.sessions.service import Conversation

TODOS = "todos"
# As many as a section of a prompt could ever use.
_MAX_ITEMS, _MAX_DEPTH = 200, 5


def _checked(value: object, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("NaN and infinite numbers cannot be stored")
    elif isinstance(value, dict | list):
        for inner in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            _checked(inner, depth + 1)


def _section(section: dict[str, Any]) -> dict[str, Any]:
    for key, value in section.items():
        if not key.strip() or len(key) > MAX_KEY:
            raise ValueError(f"a key has 1 to {MAX_KEY} characters")
        if key == TODOS:
            raise ValueError("`todos` is a section of its own: send them there")
        _checked(key)
        try:
            _checked(value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
        if len(content_of(key, value)) > MAX_CONTENT:
            raise ValueError(f"{key}: takes more than {MAX_CONTENT} characters")
    return {key: value for key, value in section.items() if value is not None}


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text.strip()


Section = Annotated[dict[str, Any], Field(max_length=_MAX_ITEMS), AfterValidator(_section)]
Line = Annotated[str, Field(max_length=MAX_CONTENT), Storable, AfterValidator(_not_blank)]


class StructuredMemory(BaseModel):
    """What is known of the viewer. A section left out is empty."""

    profile: Section = Field(default_factory=dict, description="Facts by name.", examples=[{"name": "Antonio"}])
    preferences: Section = Field(default_factory=dict, description="Preferences by name.")
    facts: list[Line] = Field(default_factory=list, max_length=_MAX_ITEMS, description="Facts without a name.")
    todos: list[Line] = Field(default_factory=list, max_length=_MAX_ITEMS)

    @model_validator(mode="before")
    @classmethod
    def _some_section(cls, body: Any) -> Any:
        """A misspelled section would otherwise empty the memory; an empty object says so on purpose."""
        if isinstance(body, dict) and body and not body.keys() & cls.model_fields.keys():
            raise ValueError(
                f"None of {', '.join(cls.model_fields)} is there. Send the sections to keep, or {{}} for none."
            )
        return body

    @model_validator(mode="after")
    def _one_section_a_key(self) -> "StructuredMemory":
        both = sorted(self.profile.keys() & self.preferences.keys())
        if both:
            raise ValueError(f"preferences.{both[0]}: is in profile, too; a name has one value")
        if len(content_of(TODOS, self.todos)) > MAX_CONTENT:
            raise ValueError(f"todos: take more than {MAX_CONTENT} characters together")
        return self


def as_sections(items: Iterable[MemoryItem]) -> StructuredMemory:
    """The sections that current memories, newest first, make; of two values for one name the newer counts."""
    sections: dict[str, dict[str, Any]] = {"fact": {}, "preference": {}}
    facts: list[str] = []
    todos: list[str] = []
    seen: set[str] = set()
    for item in items:
        if item.key is None:
            if item.type == "fact":
                facts.append(item.content)
        elif item.key not in seen:
            seen.add(item.key)
            if item.key == TODOS:
                todos = _texts(item)
            elif item.type in sections:
                sections[item.type][item.key] = item.value_or_words
    # Not checked again: what other doors stored may be larger than what this one takes.
    return StructuredMemory.model_construct(
        profile=sections["fact"], preferences=sections["preference"], facts=list(dict.fromkeys(facts)), todos=todos
    )


def _texts(item: MemoryItem) -> list[str]:
    value = item.value_or_words
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


async def show(connection: AsyncConnection, session: Conversation) -> StructuredMemory:
    """What is known of the session's viewer."""
    return as_sections(await memories.current(connection, session.user_id, persona_id=session.persona.id))


async def replace(
    connection: AsyncConnection, owner: str, session: Conversation, wanted: StructuredMemory
) -> StructuredMemory:
    """Make the sections what `wanted` says: other values supersede, names left out end, facts left out are forgotten."""
    await hold_user(connection, session.user_id)  # two who replace at once must not both start from the same memories
    known = await memories.current(connection, session.user_id, persona_id=session.persona.id)
    kept = await _end_the_rest(connection, session, known, _keyed(wanted))
    for key, (kind, value) in _keyed(wanted).items():
        if key not in kept:
            draft = Draft(type=kind, content=content_of(key, value), key=key, value=value)
            await memories.remember(connection, owner, session.user_id, draft)
    told = {item.content for item in known if _is_loose_fact(item)}
    for item in known:
        if _is_loose_fact(item) and item.content not in wanted.facts:
            await memories.forget(connection, item.id, session.user_id)
    for fact in dict.fromkeys(reversed(wanted.facts)):  # the list shows the newest first
        if fact not in told:
            await memories.remember(connection, owner, session.user_id, Draft(type="fact", content=fact))
    return await show(connection, session)


def _is_loose_fact(item: MemoryItem) -> bool:
    return item.key is None and item.type == "fact"


def _keyed(wanted: StructuredMemory) -> dict[str, tuple[Literal["fact", "preference", "event"], Any]]:
    keyed: dict[str, tuple[Literal["fact", "preference", "event"], Any]] = {}
    keyed |= {key: ("fact", value) for key, value in wanted.profile.items()}
    keyed |= {key: ("preference", value) for key, value in wanted.preferences.items()}
    return keyed | ({TODOS: ("event", wanted.todos)} if wanted.todos else {})


async def _end_the_rest(
    connection: AsyncConnection,
    session: Conversation,
    known: Sequence[MemoryItem],
    wanted: Mapping[str, tuple[str, Any]],
) -> set[str]:
    """End what `wanted` does not say; the names whose value stays as it is."""
    kept: set[str] = set()
    for item in known:
        if item.key is None or not (item.key == TODOS or item.type in {"fact", "preference"}):
            continue
        if item.key not in kept and wanted.get(item.key) == (item.type, item.value):
            kept.add(item.key)
        elif item.persona is not None or item.key not in wanted:
            # What holds for every persona is superseded by its new value; what holds for this one would hide it.
            persona_id = None if item.persona is None else session.persona.id
            await memories.retire(connection, session.user_id, item.key, persona_id=persona_id)
    return kept
