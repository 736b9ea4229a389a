"""Rows and examples that say which reply is better: what dpo and kto learn from, beside sft's plain conversations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_training.chat_template import IGNORED, Example, control_tokens, encode, holds_any
from persona_training.config import Recipe
from persona_training.errors import DatasetError
from persona_training.messages import Message, taught

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class PairRow:
    """A conversation up to a user's message, a reply that was preferred and one that was not (format dpo)."""

    prompt: tuple[Message, ...]
    chosen: Message
    rejected: Message
    session_id: str

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as it should go on."""
        return (*self.prompt, self.chosen)


@dataclass(frozen=True)
class JudgedRow:
    """A conversation up to a user's message, a reply, and whether it was liked (format kto)."""

    prompt: tuple[Message, ...]
    reply: Message
    desirable: bool
    session_id: str

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as it went on."""
        return (*self.prompt, self.reply)


@dataclass(frozen=True)
class PreferencePair:
    """Two replies to the same conversation; in both, the labels cover that last reply alone."""

    chosen: Example
    rejected: Example

    @property
    def length(self) -> int:
        """Tokens of the longer one."""
        return max(self.chosen.length, self.rejected.length)


@dataclass(frozen=True)
class JudgedReply:
    """One reply and whether it was liked; the labels cover that reply alone."""

    example: Example
    desirable: bool

    @property
    def length(self) -> int:
        """Tokens in all."""
        return self.example.length


@dataclass(frozen=True)
class EncodedPreferences:
    """Examples, of how many the oldest exchanges were cut off, and how many rows were left out.

    Attributes:
        left_out: for length or for control tokens.
        with_control_tokens: those of `left_out` in which somebody wrote a special token of the tokenizer.
    """

    examples: tuple[PreferencePair | JudgedReply, ...]
    shortened: int
    left_out: int
    with_control_tokens: int = 0

    @property
    def cut(self) -> str:
        """What was shortened or left out and why, for the run to print; empty where nothing was."""
        too_long = self.left_out - self.with_control_tokens
        told = f"{self.shortened} conversations shortened, {too_long} too long and left out"
        if self.with_control_tokens:
            told += f", {self.with_control_tokens} left out because a message holds control tokens of the tokenizer"
        return told if self.shortened or self.left_out else ""


def encode_preferences(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[PairRow | JudgedRow], recipe: Recipe
) -> EncodedPreferences:
    """Tokenise rows as the recipe says; a conversation beyond `max_length` loses its oldest exchanges.

    A row in which somebody wrote a special token is left out, as in `examples.encode_rows`.

    Raises:
        DatasetError: the rows are not of the kind the recipe's objective learns from, or both replies of a pair are equal.
    """
    kind, wanted = (PairRow, "pairs (format dpo)") if recipe.objective == "dpo" else (JudgedRow, "votes (format kto)")
    if any(not isinstance(row, kind) for row in rows):
        raise DatasetError(
            f"Objective {recipe.objective} learns from {wanted}. Export them with --format {recipe.objective}."
        )
    examples: list[PreferencePair | JudgedReply] = []
    control = control_tokens(tokenizer)
    shortened = unsafe = 0
    for row in rows:
        prompt = taught(row.prompt, recipe.system_prompt)
        if holds_any(control, [*prompt, *_replies(row)]):
            unsafe += 1
            continue
        first = 1 if prompt[0]["role"] == "system" else 0
        for start in range(first, len(prompt), 2):
            example = _encode(tokenizer, row, prompt[:first] + prompt[start:])
            if example.length <= recipe.max_length:
                examples.append(example)
                shortened += start > first
                break
    return EncodedPreferences(tuple(examples), shortened, len(rows) - len(examples), unsafe)


def _replies(row: PairRow | JudgedRow) -> tuple[Message, ...]:
    return (row.reply,) if isinstance(row, JudgedRow) else (row.chosen, row.rejected)


def _encode(
    tokenizer: PreTrainedTokenizerBase, row: PairRow | JudgedRow, prompt: list[Message]
) -> PreferencePair | JudgedReply:
    if isinstance(row, JudgedRow):
        return JudgedReply(_last_reply(encode(tokenizer, [*prompt, row.reply])), row.desirable)
    chosen, rejected = (_last_reply(encode(tokenizer, [*prompt, reply])) for reply in (row.chosen, row.rejected))
    if chosen == rejected:
        raise DatasetError(f"A pair of session {row.session_id} has the same reply twice: it prefers nothing.")
    return PreferencePair(chosen, rejected)


def _last_reply(example: Example) -> Example:
    """The same tokens with labels on the last reply alone: earlier ones are context."""
    end = max(place for place, label in enumerate(example.labels) if label != IGNORED) + 1
    start = end
    while start and example.labels[start - 1] != IGNORED:
        start -= 1
    return dataclasses.replace(example, labels=(IGNORED,) * start + example.labels[start:])
