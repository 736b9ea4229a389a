"""Several conversations in one row, none seeing another: no computing on padding.

What an optimiser step learns from stays as the schedule says; packing only lays its conversations out in fewer, fuller
rows (first fit, longest first), so a packed run learns the same as an unpacked one to rounding, and steps, epochs and
learning rate keep their meaning. Conversations are kept apart by positions that begin again at 0 where no attention mask
is given: transformers (4.53 and later) then builds a causal mask in blocks for its sdpa and eager attention.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from persona_training.chat_template import IGNORED, Example
from persona_training.errors import RecipeError

Row = tuple[Example, ...]
# Tokens of each conversation used to try a model out: enough to attend to, cheap on any machine.
TRIED_TOKENS = 16
# Largest difference of logits, as a share of the largest logit, that rounding can make between two equal computations.
SAME = 1e-3


def first_fit(examples: Sequence[Example], capacity: int) -> list[Row]:
    """Rows of at most `capacity` tokens that hold every example once, longest first; longer examples get a row each.

    The same examples in the same order always give the same rows.
    """
    rows: list[list[Example]] = []
    room: list[int] = []
    for example in sorted(examples, key=lambda one: -one.length):
        place = next((index for index, left in enumerate(room) if left >= example.length), None)
        if place is None:
            rows.append([])
            room.append(capacity)
            place = len(rows) - 1
        rows[place].append(example)
        room[place] -= example.length
    return [tuple(row) for row in rows]


def packed(rows: Sequence[Row], pad_token_id: int) -> dict[str, torch.Tensor]:
    """`input_ids`, `labels` and `position_ids`, each (rows, longest row).

    Positions begin again with every conversation, padding counts as one more. The first token of a conversation is no
    label: it would be asked of the conversation before.
    """
    width = max(sum(example.length for example in row) for row in rows)
    ids = np.full((len(rows), width), pad_token_id)
    labels = np.full((len(rows), width), IGNORED)
    positions = np.empty((len(rows), width), dtype=np.int64)
    for number, row in enumerate(rows):
        start = 0
        for example in row:
            end = start + example.length
            ids[number, start:end] = example.input_ids
            labels[number, start + 1 : end] = example.labels[1:]
            positions[number, start:end] = np.arange(example.length)
            start = end
        positions[number, start:] = np.arange(width - start)
    return {
        "input_ids": torch.from_numpy(ids),
        "labels": torch.from_numpy(labels),
        "position_ids": torch.from_numpy(positions),
    }


def require_kept_apart(model: torch.nn.Module, examples: Sequence[Example]) -> None:
    """Try on the loaded model that what is said in one conversation of a row changes nothing in the next.

    Not every architecture or attention implementation honours positions (recurrent layers do not), and a leak would train
    without a sign of it.

    Raises:
        RecipeError: this model lets packed conversations see each other.
    """
    first, second = (Example(e.input_ids[:TRIED_TOKENS], e.labels[:TRIED_TOKENS]) for e in (examples[0], examples[-1]))
    other = Example(tuple(reversed(first.input_ids)), first.labels)
    if other.input_ids == first.input_ids:
        other = Example(tuple(token ^ 1 for token in first.input_ids), first.labels)
    device = next(model.parameters()).device
    said = []
    training = model.training
    model.eval()
    with torch.no_grad():
        for before in (first, other):
            row = packed([(before, second)], 0)
            given = {name: row[name].to(device) for name in ("input_ids", "position_ids")}
            said.append(model(**given).logits[:, first.length :].float())
    model.train(training)
    if not torch.allclose(said[0], said[1], rtol=0, atol=SAME * float(said[0].abs().max())):
        raise RecipeError(
            "With this base model and its attention, packed conversations see each other. Set packing: false."
        )
