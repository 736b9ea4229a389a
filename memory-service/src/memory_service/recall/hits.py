"""What was found, fetched and shown: the same texts once, each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.interactions.content import content_hash
from memory_service.personas.service import CurrentPersona
from memory_service.recall import repository
from memory_service.recall.fusion import DENSE, LEXICAL, ArmScore, Fused
from memory_service.recall.reasons import reason
from memory_service.recall.schemas import ArmExplanation, Explanation, Hit

# Rows fetched at once after the first ones turned out to hold repeats.
_MORE = 50


@dataclass(frozen=True, slots=True)
class Found:
    """A place in the common order, and what the reason needs to know of it."""

    fused: Fused
    source: Literal["memory", "interaction"]
    words: Sequence[str]

    @property
    def id(self) -> int:
        """Of the document."""
        return self.fused.candidate.id


async def first_ones(connection: AsyncConnection, found: Sequence[Found], limit: int) -> list[tuple[Found, Row[Any]]]:
    """The first `limit` of `found` with their rows. The same words said twice are one memory: the first stands for all."""
    chosen: list[tuple[Found, Row[Any]]] = []
    said: set[bytes] = set()
    start, size = 0, limit
    while start < len(found) and len(chosen) < limit:
        part = found[start : start + size]
        rows = await _rows(connection, part)
        for one in part:
            row = rows.get(one.id)  # deleted since it was found
            if row is None or (text := _text_hash(one, row)) in said:
                continue
            said.add(text)
            chosen.append((one, row))
        start, size = start + size, max(limit, _MORE)
    return chosen[:limit]


async def _rows(connection: AsyncConnection, found: Sequence[Found]) -> dict[int, Row[Any]]:
    said = [one.id for one in found if one.source == "interaction"]
    known = [one.id for one in found if one.source == "memory"]
    rows = await repository.exchanges(connection, said) if said else {}
    return rows | (await repository.memories(connection, known) if known else {})


def _text_hash(found: Found, row: Row[Any]) -> bytes:
    return row.content_hash if found.source == "interaction" else content_hash(row.content, "")


def hit(found: Found, row: Row[Any], persona: CurrentPersona, words_only: str | None, *, boosts: bool) -> Hit:
    """`found` as the API shows it; `words_only` is the sentence of a recall without its dense arm.

    With `boosts`, what its score is made of."""
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
    shown = _exchange(row, persona.name) if found.source == "interaction" else _memory(row)
    return Hit(id=row.id, source=found.source, relevance_score=score, user_id=row.user_id, explain=explain, **shown)


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
        "input_text": row.input_text,
        "output_text": row.output_text,
        "dropped": row.dropped,
        "quality_score": row.quality_score,
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
        "input_text": None,
        "output_text": None,
        "dropped": None,
        "quality_score": None,
    }


def _both_sides(row: Row[Any], persona_name: str) -> str:
    """Both sides, or the viewer's alone: a dropped reply (an error, a refusal) must not teach her that she talks so."""
    said = f"{row.user_id}: {row.input_text.strip()}"
    if row.dropped or not row.output_text.strip():
        return said
    return f"{said}\n{persona_name}: {row.output_text.strip()}"
