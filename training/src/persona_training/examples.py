"""From a dataset's rows to tokenised examples, with a count of what did not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_training.chat_template import Example, encode
from persona_training.config import Recipe
from persona_training.errors import DatasetError
from persona_training.messages import Message, without_system
from persona_training.row_formats import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoded:
    """Examples, and how many rows were divided or left out for length."""

    examples: tuple[Example, ...]
    divided: int
    left_out: int

    @property
    def tokens(self) -> int:
        """Tokens of all examples."""
        return sum(len(example.input_ids) for example in self.examples)

    @property
    def learned_share(self) -> float:
        """Share of tokens the loss sees, in [0, 1]."""
        return sum(example.learned for example in self.examples) / max(self.tokens, 1)


def encode_rows(tokenizer: PreTrainedTokenizerBase, rows: Sequence[Row], recipe: Recipe) -> Encoded:
    """Tokenise rows as the recipe says: system prompt kept or omitted, rows beyond `max_length` divided."""
    examples: list[Example] = []
    divided = left_out = 0
    for row in rows:
        messages = list(row.messages) if recipe.system_prompt == "keep" else without_system(row.messages)
        pieces, skipped = _pieces(tokenizer, messages, recipe.max_length)
        examples += pieces
        divided += len(pieces) > 1
        left_out += skipped
    return Encoded(tuple(examples), divided, left_out)


def require_examples(encoded: Encoded, recipe: Recipe, name: str) -> None:
    """Refuse a dataset of which nothing fits.

    Raises:
        DatasetError: no example is left.
    """
    if not encoded.examples:
        raise DatasetError(
            f"No exchange of {name} fits into max_length={recipe.max_length} tokens. "
            "Raise max_length, or set system_prompt: omit for bases with a small context."
        )


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
