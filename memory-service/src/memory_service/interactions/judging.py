"""Scores exchanges as they come in, each against what the persona said before it."""

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from memory_service.errors import Conflict
from memory_service.interactions.schemas import InteractionCreate
from memory_service.scoring import Exchange, PersonaStyle, QualityScore, ScoringContext, score

# An evening of chat: far enough back to notice a catchphrase, few enough to compare within a millisecond.
RECENT_REPLIES = 50


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the scorer must know of the persona."""

    name: str
    settings: dict[str, Any]
    system_prompt: str
    recent_replies: Sequence[str]


@lru_cache(maxsize=64)
def _style(settings: str) -> PersonaStyle:
    try:
        return PersonaStyle.from_settings(json.loads(settings))
    except ValueError as error:
        raise Conflict(f"The persona's settings do not let its replies be scored: {error}. Correct them.") from None


def _score_all(exchanges: Sequence[InteractionCreate], around: Surroundings) -> list[QualityScore]:
    style = _style(json.dumps(around.settings, sort_keys=True))
    recent = deque(around.recent_replies, maxlen=RECENT_REPLIES)
    scores = []
    for exchange in exchanges:
        block = exchange.metadata.get("memory_block")
        context = ScoringContext(
            style=style,
            persona_name=around.name,
            recent_replies=tuple(recent),
            memory_block=block if isinstance(block, str) else "",
            system_prompt=around.system_prompt,
        )
        fields = exchange.model_dump(
            include={"input_text", "output_text", "input_emotion", "output_emotion", "metadata"}
        )
        scores.append(score(Exchange(**fields), context))
        if exchange.output_text:
            recent.append(exchange.output_text)
    return scores


async def judge(exchanges: Sequence[InteractionCreate], around: Surroundings) -> list[QualityScore]:
    """Score one persona's exchanges, oldest first, in a thread: the service keeps answering meanwhile.

    Raises:
        Conflict: the persona's settings hold a style the scorer cannot read.
    """
    return await asyncio.to_thread(_score_all, exchanges, around)
