"""Learning from a message: the author's own words, read by the model or by rules, become changes to memories."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.db import Database
from memory_service.extraction.cleaning import own_words
from memory_service.extraction.model_extractor import Extraction, extract_with_model
from memory_service.extraction.operations import Change, FieldPlan, plan
from memory_service.extraction.rules import extract
from memory_service.extraction.statements import Extractor
from memory_service.llm.model import LanguageModel
from memory_service.memories import service as memories
from memory_service.memories.draft import Draft
from memory_service.memories.profile import FIELDS, MAX_CONTENT, content_of
from memory_service.memories.repository import claim_user
from memory_service.memories.schemas import MemoryItem
from memory_service.metrics import EXTRACTIONS
from memory_service.personas.service import CurrentPersona

log = logging.getLogger(__name__)

# Metadata has 5 KB: enough of the evidence to recognise the sentence.
_EVIDENCE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned from a message.

    Attributes:
        changes: per field, also those with the event NONE.
        problem: what went wrong, in words for the caller; None when nothing did.
        failed: True when the message could not be read at all; part of it may be learned in spite of a problem.
        written: the memories that were stored.
    """

    extractor: Extractor
    changes: tuple[Change, ...] = ()
    problem: str | None = None
    failed: bool = False
    written: tuple[MemoryItem, ...] = ()


async def learn(
    database: Database,
    model: LanguageModel | None,
    owner: str,
    persona: CurrentPersona | None,
    user_id: str,
    message: str | Sequence[str],
    *,
    source_interaction_id: UUID | None = None,
    store: bool = True,
) -> Learned:
    """Extract what the author says of themself and store it; with several messages, from all of them together.

    `persona` None: what is learned holds for every persona, as most of what people say of themselves does. No transaction
    is open while the model thinks; what is current is read again, under a lock, in the one that writes. `store` False only
    says what would change. A model that fails is told in the result and counted; rules never stand in for it unasked.
    """
    extractor: Extractor = "rules" if model is None else "model"
    found = await _extraction(database, model, owner, persona, user_id, message)
    EXTRACTIONS.labels(extractor, found.outcome).inc()
    if found.problem is not None:
        log.warning("Extraction by %s: %s", extractor, found.outcome)  # the problem itself may quote the message
    learned = Learned(extractor, problem=found.problem, failed=found.failed)
    if not found.statements:
        return learned
    async with database.transaction(owner) as connection:
        if store:  # two messages of one user at once must not both start from the same list
            await claim_user(connection, owner, user_id)
        plans = plan(await _current(connection, user_id, persona), found.statements)
        writer = _Writer(connection, owner, user_id, persona, extractor, source_interaction_id)
        written = [item for planned in plans if store and planned.writes for item in await writer.write(planned)]
    return replace(
        learned,
        changes=tuple(change for planned in plans for change in planned.changes),
        problem=_with_full_lists(learned.problem, plans),
        written=tuple(written),
    )


async def _extraction(
    database: Database,
    model: LanguageModel | None,
    owner: str,
    persona: CurrentPersona | None,
    user_id: str,
    message: str | Sequence[str],
) -> Extraction:
    # Rules read up to 32,000 characters with regular expressions: other requests go on meanwhile.
    words = await asyncio.to_thread(_own_words, message)
    if not words:
        return Extraction((), "nothing")
    if model is None:
        statements = tuple(await asyncio.to_thread(extract, words))
        return Extraction(statements, "extracted" if statements else "nothing")
    async with database.transaction(owner) as connection:
        current = await _current(connection, user_id, persona)
    return await extract_with_model(model, words, current)


def _own_words(message: str | Sequence[str]) -> str:
    # One by one: a block that is never closed in one message must not swallow the next.
    texts = [message] if isinstance(message, str) else message
    return "\n\n".join(filter(None, (own_words(text).strip() for text in texts)))


async def _current(connection: AsyncConnection, user_id: str, persona: CurrentPersona | None) -> Mapping[str, Any]:
    """The values of the profile's fields of exactly this subject."""
    items = await memories.current(
        connection, user_id, persona_id=persona.id if persona else None, keys=frozenset(FIELDS)
    )
    slug = persona.slug if persona else None
    return {str(item.key): item.value_or_words for item in items if item.persona == slug}


@dataclass(frozen=True, slots=True)
class _Writer:
    """Stores plans for one subject."""

    connection: AsyncConnection
    owner: str
    user_id: str
    persona: CurrentPersona | None
    extractor: Extractor
    source_interaction_id: UUID | None

    async def write(self, planned: FieldPlan) -> list[MemoryItem]:
        """The memory as it is now, if there is one left."""
        persona_id = self.persona.id if self.persona else None
        if planned.after is None:
            await memories.retire(self.connection, self.user_id, planned.field, persona_id=persona_id)
            return []
        evidence = " … ".join(dict.fromkeys(said.evidence for said in planned.spoken if said.evidence))
        draft = Draft(
            type=FIELDS[planned.field].type,
            content=content_of(planned.field, planned.after),
            key=planned.field,
            value=planned.after,
            confidence=min(said.confidence for said in planned.spoken),
            metadata={"extractor": self.extractor, "evidence": evidence[:_EVIDENCE_CHARACTERS]},
            # There are two modes, and a model is not the rules: who calls extraction asks for the memory explicitly.
            ingestion_mode="rules" if self.extractor == "rules" else "explicit",
            persona_id=persona_id,
            source_interaction_id=self.source_interaction_id,
        )
        return [await memories.remember(self.connection, self.owner, self.user_id, draft)]


def _with_full_lists(problem: str | None, plans: Sequence[FieldPlan]) -> str | None:
    full = [planned.field for planned in plans if planned.full]
    if not full:
        return problem
    told = f"No more room in {', '.join(full)}: a memory holds at most {MAX_CONTENT:,} characters."
    return told if problem is None else f"{problem} {told}"
