"""Datasets as bytes, some lines at a time: reads the exchanges of a batch of places and has them written."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.core_memory.schemas import SystemPrompt
from memory_service.exports import repository, sources
from memory_service.exports.candidates import Candidate
from memory_service.exports.dataset import Place
from memory_service.exports.recalled import recalled_lines
from memory_service.exports.writing import Names, People, Voice, Writer
from memory_service.personas.service import CurrentPersona

Transaction = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
Places = Callable[[], AsyncIterator[list[Place]]]


class SourcesMissing(Exception):
    """Exchanges of a dataset are gone or may not be learned from any more."""

    def __init__(self, erased: int, withdrawn: int) -> None:
        super().__init__(f"{erased} erased, {withdrawn} withdrawn")
        self.erased, self.withdrawn = erased, withdrawn


@dataclass(frozen=True, slots=True)
class Wording:
    """All that decides the bytes besides the exchanges: who speaks, in which format, with whose pseudonyms, as of when."""

    persona: CurrentPersona
    prompt: SystemPrompt
    type: str
    form: str
    seed: int
    as_of: datetime

    @property
    def judged_until(self) -> datetime | None:
        """Up to when people's opinions count; None where none does."""
        return self.as_of if self.type == "preference" else None

    @property
    def voice(self) -> Voice:
        """What every row has in common."""
        shown = self.type == "episodic"
        return Voice(self.form, self.prompt.system_prompt, self.persona.language, with_memories=shown)


async def make_writer(
    transaction: Transaction, wording: Wording, places: Places, session_ids: Collection[UUID]
) -> Writer:
    """Read everything once for the names people gave, then know what to take out.

    Raises:
        SourcesMissing: not everything is there any more.
    """
    names, erased, withdrawn = Names(), 0, 0
    async for batch in places():
        async with transaction() as connection:
            found = await sources.by_id(connection, {place.interaction_id for place in batch})
        erased += sum(place.interaction_id not in found for place in batch)
        withdrawn += sum(place.interaction_id in found and found[place.interaction_id].opted_out for place in batch)
        await asyncio.to_thread(names.gather, list(found.values()))
    if erased or withdrawn:
        raise SourcesMissing(erased, withdrawn)
    async with transaction() as connection:
        people = People(
            others=await repository.viewers_known(connection, wording.as_of),
            display_names=await repository.display_names(connection, session_ids),
            public=public_names(wording.persona),
        )
    # The persona's id is in no dataset, so the pseudonyms cannot be recomputed from what is handed out.
    key = f"{wording.persona.id}:{wording.seed}"
    return Writer(await asyncio.to_thread(names.redactor, people, key), wording.voice)


async def lines(
    transaction: Transaction, wording: Wording, writer: Writer, places: Places
) -> AsyncIterator[list[tuple[str, bytes]]]:
    """Each line with its split, a batch at a time.

    Raises:
        SourcesMissing: not everything is there any more.
    """
    async for batch in places():
        async with transaction() as connection:
            ids = {place.interaction_id for place in batch}
            found = await sources.by_id(connection, ids, judged_until=wording.judged_until)
            told = _recalled(found.values()) if wording.voice.with_memories else set()
            there = await sources.still_there(connection, told, wording.as_of)
        yield await asyncio.to_thread(_written, writer, batch, found, there)


def _recalled(found: Collection[Candidate]) -> set[str]:
    return {source for one in found for line in recalled_lines(one.metadata) for source in line.sources}


def _written(
    writer: Writer, batch: Sequence[Place], found: dict[str, Candidate], there: set[str]
) -> list[tuple[str, bytes]]:
    written = []
    for (split, _), row in groupby(batch, key=lambda place: (place.split, place.row_number)):
        try:
            written.append((split, writer.line(list(row), found, there)))
        except KeyError:
            raise SourcesMissing(1, 0) from None
    return written


def public_names(persona: CurrentPersona) -> list[str]:
    """Names that are part of the character and stay: its own, and `public_names` of its settings."""
    given = persona.settings.get("public_names", [])
    names = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
    return [persona.name, persona.slug, *names]
