"""From a dataset's rows to what a recipe's objective learns: conversations for sft, pairs for dpo, votes for kto."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_training.chat_template import Example
from persona_training.config import Recipe
from persona_training.datasets import Dataset, conversations
from persona_training.errors import DatasetError
from persona_training.examples import encode_rows
from persona_training.preferences import JudgedReply, JudgedRow, PairRow, PreferencePair, encode_preferences
from persona_training.row_formats import TrainingRow
from persona_training.schedule import Learnable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Lessons:
    """Tokenised examples, and a word on what was divided, shortened or left out ("" when nothing was)."""

    examples: tuple[Learnable, ...]
    note: str

    @property
    def conversations(self) -> list[Example]:
        """Every tokenised conversation; a pair has two."""
        return [part for example in self.examples for part in _parts(example)]

    @property
    def tokens(self) -> int:
        """Tokens of all examples."""
        return sum(part.length for part in self.conversations)

    @property
    def learned_share(self) -> float:
        """Share of tokens the loss sees, in [0, 1]."""
        return sum(part.learned for part in self.conversations) / max(self.tokens, 1)

    @property
    def shown(self) -> list[Example]:
        """The first example: one conversation, or both of a pair, the preferred first."""
        return _parts(self.examples[0])


def read_lessons(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[TrainingRow], dataset: Dataset, recipe: Recipe
) -> Lessons:
    """Tokenise a split of a dataset as the recipe says.

    Raises:
        DatasetError: the rows are not of the kind the objective learns from.
    """
    if recipe.objective == "sft":
        encoded = encode_rows(tokenizer, conversations(rows, dataset), recipe)
        return Lessons(encoded.examples, encoded.cut)
    judged = [row for row in rows if isinstance(row, PairRow | JudgedRow)]
    if len(judged) != len(rows):
        raise DatasetError(
            f"{dataset.name} holds conversations; objective {recipe.objective} learns from judged replies."
        )
    preferences = encode_preferences(tokenizer, judged, recipe)
    return Lessons(preferences.examples, preferences.cut)


def require_lessons(lessons: Lessons, recipe: Recipe, dataset: Dataset) -> Lessons:
    """The same lessons, if there are any.

    Raises:
        DatasetError: nothing of the dataset fits, or nothing is free of control tokens.
    """
    if not lessons.examples:
        raise DatasetError(
            f"Nothing of {dataset.name} can be learned: {lessons.note} (max_length {recipe.max_length}). Raise max_length, or "
            "set system_prompt: omit for bases with a small context; control tokens must be taken out of the rows."
        )
    return lessons


def _parts(example: Learnable) -> list[Example]:
    if isinstance(example, PreferencePair):
        return [example.chosen, example.rejected]
    return [example.example] if isinstance(example, JudgedReply) else [example]
