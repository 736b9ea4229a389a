"""From a dataset's rows to tokenised examples, with a count of what did not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_training.chat_template import Example, control_tokens, encode, holds_any
from persona_training.config import Recipe
from persona_training.messages import Message, taught
from persona_training.row_formats import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoded:
    """Examples, how many rows were divided and how many exchanges left out.

    Attributes:
        left_out: for length or for control tokens.
        with_control_tokens: those of `left_out` in which somebody wrote a special token of the tokenizer.
    """

    examples: tuple[Example, ...]
    divided: int
    left_out: int
    with_control_tokens: int = 0

    @property
    def cut(self) -> str:
        """What was divided or left out and why, for the run to print; empty where nothing was."""
        too_long = self.left_out - self.with_control_tokens
        told = f"{self.divided} rows divided, {too_long} exchanges too long and left out"
        if self.with_control_tokens:
            told += f", {self.with_control_tokens} left out because a message holds control tokens of the tokenizer"
        return told if self.divided or self.left_out else ""


def encode_rows(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], recipe: Recipe) -> Encoded:
    """Tokenise rows as the recipe says: system prompt kept or omitted, rows beyond `max_length` divided.

    An exchange in which somebody wrote a special token is left out: the tokenizer would read it as the end of a turn and
    the beginning of another, and whoever typed it would have spoken as the system.
    """
    control = control_tokens(tokenizer)
    examples: list[Example] = []
    divided = left_out = unsafe = 0
    for row in rows:
        messages = taught(row.messages, recipe.system_prompt)
        runs, written = _without_control(messages, control)
        encoded = [_pieces(tokenizer, run, recipe.max_length) for run in runs]
        examples += (piece for pieces, _ in encoded for piece in pieces)
        divided += sum(len(pieces) for pieces, _ in encoded) > 1
        unsafe += written
        left_out += written + sum(skipped for _, skipped in encoded)
    return Encoded(tuple(examples), divided, left_out, unsafe)


def _without_control(messages: list[Message], control: frozenset[str]) -> tuple[list[list[Message]], int]:
    """The conversation divided at exchanges that hold a control token, without these, and how many they are."""
    first = 1 if messages[0]["role"] == "system" else 0
    system, turns = messages[:first], messages[first:]
    if not holds_any(control, messages):
        return [messages], 0
    if holds_any(control, system):
        return [], len(turns) // 2
    runs: list[list[Message]] = []
    written, goes_on = 0, False
    for start in range(0, len(turns), 2):
        exchange = turns[start : start + 2]
        clean = not holds_any(control, exchange)
        if clean and goes_on:
            runs[-1] += exchange
        elif clean:
            runs.append(system + exchange)
        goes_on = clean
        written += not clean
    return runs, written


def _pieces(tokenizer: PreTrainedTokenizerBase, messages: list[Message], max_length: int) -> tuple[list[Example], int]:
    """The conversation in as few consecutive pieces as fit, each with the system message; and exchanges too long."""
    first = 1 if messages[0]["role"] == "system" else 0
    system, turns = messages[:first], messages[first:]
    pieces: list[Example] = []
    skipped = 0
    while turns:
        for taken in range(len(turns), 0, -2):
            example = encode(tokenizer, system + turns[:taken])
            if len(example.input_ids) <= max_length:
                pieces.append(example)
                break
        else:
            taken = 2
            skipped += 1
        turns = turns[taken:]
    return pieces, skipped
