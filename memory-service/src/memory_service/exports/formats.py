"""Dataset rows in the formats trainers read. Pure: redacted texts in, one JSON object a line out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Turn:
    """One redacted exchange, ready to be written."""

    interaction_id: str
    session_id: str
    viewer: str
    input_text: str
    output_text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns that followed each other, under one system message (empty: none)."""

    system: str
    turns: Sequence[Turn]

    @property
    def metadata(self) -> Row:
        """Where the row is from."""
        return _metadata(self.turns[0], [turn.interaction_id for turn in self.turns])


def chatml(row: Conversation) -> Row:
    """`messages`: system (left out while it is empty), then user and assistant in turn."""
    return {"messages": [*_opening(row.system), *_messages(row.turns)], "metadata": row.metadata}


def sharegpt(row: Conversation) -> Row:
    """`conversations`: the same, from `system`, `human` and `gpt`."""
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    messages = [*_opening(row.system), *_messages(row.turns)]
    said = [{"from": names[message["role"]], "value": message["content"]} for message in messages]
    return {"conversations": said, "metadata": row.metadata}


def alpaca(row: Conversation) -> Row:
    """The last exchange as `instruction` and `output`, what went before it as `history`."""
    *earlier, last = row.turns
    return {
        "instruction": last.input_text,
        "input": "",
        "output": last.output_text,
        "system": row.system,
        "history": [[turn.input_text, turn.output_text] for turn in earlier],
        "metadata": row.metadata,
    }


CONVERSATIONS: Mapping[str, Callable[[Conversation], Row]] = {
    "chatml": chatml,
    "sharegpt": sharegpt,
    "alpaca": alpaca,
}


def dpo(system: str, chosen: Turn, rejected: Turn) -> Row:
    """Two replies to the input of `chosen`, the better one first."""
    ids = list(dict.fromkeys([chosen.interaction_id, rejected.interaction_id]))
    return {
        "prompt": [*_opening(system), _message("user", chosen.input_text)],
        "chosen": [_message("assistant", chosen.output_text)],
        "rejected": [_message("assistant", rejected.output_text)],
        "metadata": _metadata(chosen, ids),
    }


def kto(system: str, turn: Turn, *, good: bool) -> Row:
    """One reply, and whether people wanted it."""
    return {
        "prompt": [*_opening(system), _message("user", turn.input_text)],
        "completion": [_message("assistant", turn.output_text)],
        "label": good,
        "metadata": _metadata(turn, [turn.interaction_id]),
    }


def jsonl(rows: Iterable[Row]) -> bytes:
    """The rows as a file: one JSON object a line, UTF-8, fixed key order and separators, so that equal rows are equal bytes."""
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)


def _metadata(first: Turn, interaction_ids: list[str]) -> Row:
    return {"session_id": first.session_id, "interaction_ids": interaction_ids, "viewer": first.viewer}


def _opening(system: str) -> list[dict[str, str]]:
    return [_message("system", system)] if system else []


def _messages(turns: Sequence[Turn]) -> list[dict[str, str]]:
    return [
        message
        for turn in turns
        for message in (_message("user", turn.input_text), _message("assistant", turn.output_text))
    ]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
