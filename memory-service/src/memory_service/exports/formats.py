"""Dataset rows: kept exchanges that followed each other in a session, as one conversation under the system prompt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise


@dataclass(frozen=True, slots=True)
class Turn:
    """One redacted exchange, ready to be written. `position` counts every exchange of its session, kept or not."""

    interaction_id: str
    session_id: str
    viewer: str
    position: int
    input_text: str
    output_text: str


def conversations(turns: Iterable[Turn], max_turns: int) -> list[list[Turn]]:
    """Cut the kept turns into conversations of at most `max_turns`.

    Only turns that followed each other directly stay together: across a dropped exchange the reply would answer
    something the reader of the row cannot see. Order: sessions as they come, turns by position.
    """
    if max_turns < 1:
        raise ValueError(f"a conversation needs at least one turn, got max_turns={max_turns}")
    rows: list[list[Turn]] = []
    for _, group in groupby(turns, key=lambda turn: turn.session_id):
        session = list(group)
        run = [session[0]]
        for before, turn in pairwise(session):
            if turn.position != before.position + 1 or len(run) == max_turns:
                rows.append(run)
                run = []
            run.append(turn)
        rows.append(run)
    return rows


def chatml(conversation: Sequence[Turn], system_prompt: str) -> dict[str, object]:
    """One row: system (left out while core memory is empty), then user and assistant in turn, with where it came from."""
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    for turn in conversation:
        messages.append({"role": "user", "content": turn.input_text})
        messages.append({"role": "assistant", "content": turn.output_text})
    metadata = {
        "session_id": conversation[0].session_id,
        "interaction_ids": [turn.interaction_id for turn in conversation],
        "viewer": conversation[0].viewer,
    }
    return {"messages": messages, "metadata": metadata}


def jsonl(rows: Iterable[dict[str, object]]) -> bytes:
    """The rows as a file: one JSON object a line, UTF-8, fixed key order and separators, so that equal rows are equal bytes."""
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)
