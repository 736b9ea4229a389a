"""What was found, fetched and shown: the same texts once, each with its reason."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.interactions.content import content_hash
from memory_service.personas.service import CurrentPersona
from memory_service.recall import repository
from memory_service.recall.context import Source
from memory_service.recall.fusion import DENSE, LEXICAL, ArmScore, Fused
from memory_service.recall.reasons import reason
from memory_service.recall.schemas import ArmExplanation, ContextMemory, Explanation, Hit

# Rows fetched at once after the first ones turned out to hold repeats.
_MORE = 50


@dataclass(frozen=True, slots=True)
class Found:
    """A place in the common order, whose it is, and what the reason needs to know of it."""

    fused: Fused
    source: Source
    source_id: UUID
    words: Sequence[str]

    @property
    def id(self) -> int:
        """Of the document."""
        return self.fused.candidate.id


async def first_ones(
    connection: AsyncConnection, found: Sequence[Found], limit: int, exclude: Collection[UUID]
) -> list[tuple[Found, Row[Any]]]:
    """The first `limit` of `found` with their rows, without those whose exchange or memory is in `exclude`.

    The same words said twice are one memory: the first stands for all.
    """
    chosen: list[tuple[Found, Row[Any]]] = []
    said: set[bytes] = set()
    start, size = 0, limit
    while start < len(found) and len(chosen) < limit:
        part = found[start : start + size]
        rows = await _rows(connection, part)
        for one in part:
            row = rows.get(one.source_id)  # deleted since it was found
            if row is None or row.id in exclude or (text := _text_hash(one, row)) in said:
                continue
            said.add(text)
            chosen.append((one, row))
        start, size = start + size, max(limit, _MORE)
    return chosen[:limit]


async def _rows(connection: AsyncConnection, found: Sequence[Found]) -> dict[UUID, Row[Any]]:
    said = [one.source_id for one in found if one.source == "interaction"]
    known = [one.source_id for one in found if one.source == "memory"]
    rows = await repository.exchanges(connection, said) if said else {}
    return rows | (await repository.memories(connection, known) if known else {})


def _text_hash(found: Found, row: Row[Any]) -> bytes:
    return row.content_hash if found.source == "interaction" else content_hash(row.content, "")


def hit(found: Found, row: Row[Any], persona: CurrentPersona, words_only: str | None, *, boosts: bool) -> Hit:
    """`found` as POST /recall shows it; `words_only` is the sentence of a recall without its dense arm.

    With `boosts`, what its score is made of."""
    exchange = found.source == "interaction"
    return Hit(
        **_shown(found, row, persona, words_only, boosts=boosts),
        user_id=row.user_id,
        input_text=row.input_text if exchange else None,
        output_text=row.output_text if exchange else None,
        dropped=row.dropped if exchange else None,
        quality_score=row.quality_score if exchange else None,
    )


def context_memory(
    found: Found, row: Row[Any], persona: CurrentPersona, words_only: str | None, *, boosts: bool
) -> ContextMemory:
    """`found` as POST /memory/context shows it, with no neighbours yet."""
    return ContextMemory(**_shown(found, row, persona, words_only, boosts=boosts))


def _shown(
    found: Found, row: Row[Any], persona: CurrentPersona, words_only: str | None, *, boosts: bool
) -> dict[str, Any]:
    scores, score = found.fused.candidate.scores, round(found.fused.score, 6)
    dense, lexical = scores.get(DENSE), scores.get(LEXICAL)
    place = (dense.rank, dense.score) if dense else None
    explain = Explanation(
        dense=_explained(dense),
        lexical=_explained(lexical),
        fused=score,
        reason=reason(place, found.words, persona.language, words_only=words_only),
        boosts=dict(found.fused.boosts) if boosts else None,
    )
    what = _exchange(row, persona.name) if found.source == "interaction" else _memory(row)
    return {"id": row.id, "source": found.source, "relevance_score": score, "explain": explain} | what


def _explained(score: ArmScore | None) -> ArmExplanation | None:
    return ArmExplanation(rank=score.rank, score=round(score.score, 6)) if score else None


def _exchange(row: Row[Any], persona_name: str) -> dict[str, Any]:
    return {
        "content": _both_sides(row, persona_name),
        "memory_type": "event",
        "created_at": row.occurred_at,
        "session_id": row.session_id,
        "key": None,
        "value": None,
        "importance": None,
    }


def _memory(row: Row[Any]) -> dict[str, Any]:
    return {
        "content": row.content,
        "memory_type": row.type,
        "created_at": row.valid_from,
        "session_id": None,
        "key": row.key,
        "value": row.value,
        "importance": row.importance,
    }


def content(found: Found, row: Row[Any], persona_name: str) -> str:
    """What `found` says: both sides of an exchange, or a typed memory's content."""
    return _both_sides(row, persona_name) if found.source == "interaction" else row.content


def told(row: Row[Any], persona_name: str) -> str:
    """What a neighbouring turn says: a typed memory's content, or an exchange's sides."""
    return _both_sides(row, persona_name) if row.content is None else row.content


def _both_sides(row: Row[Any], persona_name: str) -> str:
    """Both sides, or the viewer's alone: a dropped reply (an error, a refusal) must not teach her that she talks so."""
    said = f"{row.user_id}: {row.input_text.strip()}"
    if row.dropped or not row.output_text.strip():
        return said
    return f"{said}\n{persona_name}: {row.output_text.strip()}"
