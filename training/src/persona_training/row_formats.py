"""One line of a dataset, in any of the five formats the exporter writes, as one of three kinds of row.

`chatml`, `sharegpt` and `alpaca` hold conversations and become `Row`; `dpo` becomes `PairRow` and `kto` `JudgedRow`. The
format is read from the keys, so files from elsewhere work without a manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from persona_training.errors import DatasetError
from persona_training.messages import Message, Role
from persona_training.preferences import JudgedRow, PairRow

# The key that tells a format from the others; `prompt` is in both preference formats and tells nothing.
TELLING_KEYS = {
    "messages": "chatml",
    "conversations": "sharegpt",
    "instruction": "alpaca",
    "chosen": "dpo",
    "completion": "kto",
}
SHAREGPT_ROLES = {"system": "system", "human": "user", "gpt": "assistant"}
SHAPES = {
    "chatml": '{"messages": [{"role", "content"}, …]}',
    "sharegpt": '{"conversations": [{"from": "human" or "gpt", "value"}, …]}',
    "alpaca": '{"instruction", "input", "output", "system", "history": [[user, assistant], …]}',
    "dpo": '{"prompt": [messages], "chosen": [one assistant message], "rejected": [one assistant message]}',
    "kto": '{"prompt": [messages], "completion": [one assistant message], "label": true or false}',
}


# JSON can write half of a character that needs two escapes ("\ud83d"); no tokenizer and no UTF-8 file can hold it.
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """One training conversation and the session it came from (splits never cut through a session)."""

    messages: tuple[Message, ...]
    session_id: str


TrainingRow = Row | PairRow | JudgedRow


def parse_row(line: str, place: str) -> tuple[str, TrainingRow]:
    """The row's format and the row.

    Args:
        line: JSON.
        place: `file:line`, for messages; also the session of a row that names none.

    Raises:
        DatasetError: not JSON, none of the formats, or a conversation that no model could learn from.
    """
    try:
        value = json.loads(line.removeprefix("\ufeff"))  # a byte order mark, as Windows editors put it first
    except RecursionError:
        raise DatasetError(f"{place}: nested too deeply to be a row. Look at that line, or leave it out.") from None
    except ValueError as error:
        raise DatasetError(f"{place}: not JSON ({error}).") from error
    form = _format_of(value, place)
    try:
        session = _whole(str(value.get("metadata", {}).get("session_id", place)))
        row = READERS[form](value, session, place)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"{place}: not a row of the form {SHAPES[form]} ({_told(error)}).") from error
    return form, row


def _format_of(value: object, place: str) -> str:
    told = [form for key, form in TELLING_KEYS.items() if key in value] if isinstance(value, dict) else []
    if len(told) != 1:
        keys = ", ".join(sorted(value)) if isinstance(value, dict) else type(value).__name__
        raise DatasetError(
            f"{place}: not a row of the form {' or '.join(SHAPES[form] for form in told or SHAPES)}; it has: {keys}."
        )
    return told[0]


def _told(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _chatml(value: Mapping[str, Any], session: str, place: str) -> Row:
    return Row(_conversation(_messages(value["messages"]), place), session)


def _sharegpt(value: Mapping[str, Any], session: str, place: str) -> Row:
    turns = [_message(SHAREGPT_ROLES.get(turn["from"], turn["from"]), turn["value"]) for turn in value["conversations"]]
    return Row(_conversation(turns, place), session)


def _alpaca(value: Mapping[str, Any], session: str, place: str) -> Row:
    """`input` is more of the question: it follows the instruction on a line of its own."""
    messages = [_message("system", value["system"])] if value.get("system") else []
    for asked, replied in value.get("history") or []:
        messages += [_message("user", asked), _message("assistant", replied)]
    asked = "\n".join(part for part in (value["instruction"], value.get("input")) if part)
    messages += [_message("user", asked), _message("assistant", value["output"])]
    return Row(_conversation(messages, place), session)


def _dpo(value: Mapping[str, Any], session: str, place: str) -> PairRow:
    prompt, chosen = _asked_and_replied(value["prompt"], value["chosen"], place)
    _, rejected = _asked_and_replied(value["prompt"], value["rejected"], place)
    if chosen == rejected:
        raise DatasetError(f"{place}: chosen and rejected are the same reply, so the row prefers nothing.")
    return PairRow(prompt, chosen, rejected, session)


def _kto(value: Mapping[str, Any], session: str, place: str) -> JudgedRow:
    prompt, reply = _asked_and_replied(value["prompt"], value["completion"], place)
    if not isinstance(value["label"], bool):
        raise TypeError(f"label is {value['label']!r}")
    return JudgedRow(prompt, reply, value["label"], session)


READERS: dict[str, Callable[[Mapping[str, Any], str, str], TrainingRow]] = {
    "chatml": _chatml,
    "sharegpt": _sharegpt,
    "alpaca": _alpaca,
    "dpo": _dpo,
    "kto": _kto,
}


def _asked_and_replied(prompt: object, reply: object, place: str) -> tuple[tuple[Message, ...], Message]:
    replies = _messages(reply)
    if len(replies) != 1:
        raise TypeError(f"{len(replies)} messages where one reply belongs")
    *asked, replied = _conversation([*_messages(prompt), *replies], place)
    return tuple(asked), replied


def _messages(value: object) -> list[Message]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} where a list of messages belongs")
    return [_message(message["role"], message["content"]) for message in value]


def _message(role: object, content: object) -> Message:
    if not isinstance(content, str):
        raise TypeError(f"{type(content).__name__} where a message's text belongs")
    return Message(role=cast(Role, role), content=_whole(content.strip()))


def _whole(text: str) -> str:
    half = _HALF_CHARACTER.search(text)
    if half is not None:
        raise ValueError(
            f"half a character, \\u{ord(half[0]):04x} without its other half; write the text anew as UTF-8"
        )
    return text


def _conversation(messages: Sequence[Message], place: str) -> tuple[Message, ...]:
    """The messages, if they take turns and each says something."""
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or turns != ["user", "assistant"] * (len(turns) // 2):
        raise DatasetError(f"{place}: after the system message, user and assistant must take turns and assistant ends.")
    if not all(message["content"] for message in messages):
        raise DatasetError(f"{place}: a message is empty.")
    return tuple(messages)
