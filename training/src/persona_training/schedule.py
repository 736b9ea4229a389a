"""Which conversation is learned at which step: decided in full before the first step, from the seed alone.

A run's order is one list over all epochs. Resuming skips what was done, so an interrupted run sees exactly the
conversations an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from persona_training.chat_template import Example
from persona_training.config import LARGEST_ORDER, Steps
from persona_training.errors import RecipeError
from persona_training.preferences import JudgedReply, PreferencePair

Learnable = Example | PreferencePair | JudgedReply
Item = TypeVar("Item")

# Batches sorted by length together: large enough to save padding, small enough to keep the order varied.
GROUPED_BATCHES = 8


@dataclass(frozen=True)
class Schedule:
    """Every example in order, `steps * per_step` of them; an epoch is `epoch_rows` examples."""

    examples: tuple[Learnable, ...]
    steps: int
    epoch_rows: int


def replay_count(rows: int, share: float, other_shares: float = 0.0) -> int:
    """How many mixed-in rows make up `share` of an epoch that holds `rows` of its own and `other_shares` of others."""
    return math.ceil(rows * share / (1 - share - other_shares)) if share else 0


def plan(
    own: Sequence[Learnable],
    replayed: Sequence[Learnable],
    share: float,
    steps: Steps,
    seed: int,
    *,
    general: Sequence[Learnable] = (),
    general_share: float = 0.0,
) -> Schedule:
    """Lay out a run.

    Each epoch holds every own example once and a fresh draw of replayed and of general ones, `share` and `general_share`
    of the epoch. Within groups of a few batches, examples of similar length share a batch.

    Raises:
        RecipeError: the epochs take more conversations than an order may hold.
    """
    shares = (share if replayed else 0.0, general_share if general else 0.0)
    drawn = [replay_count(len(own), part, sum(shares) - part) for part in shares]
    epoch_rows = len(own) + sum(drawn)
    per_step = steps.batch_size * steps.gradient_accumulation
    total = steps.max_steps or max(1, math.ceil(steps.epochs * epoch_rows / per_step))
    if total * per_step > LARGEST_ORDER:
        raise RecipeError(
            f"steps.epochs {steps.epochs:g} over {epoch_rows:,} rows are more than {LARGEST_ORDER:,} conversations: "
            "the order of all steps is kept in memory. Lower steps.epochs, or set steps.max_steps."
        )
    rng = random.Random(seed)  # noqa: S311 (order, not secrets)
    stream = _stream(own, list(zip((replayed, general), drawn, strict=True)), rng)
    # A group larger than an epoch would put every copy of a conversation into the same batch.
    batches = max(1, min(GROUPED_BATCHES, epoch_rows // per_step))
    ordered: list[Learnable] = []
    while len(ordered) < total * per_step:
        ordered += _by_length([next(stream) for _ in range(per_step * batches)], per_step, rng)
    return Schedule(tuple(ordered[: total * per_step]), total, epoch_rows)


def _stream(own: Sequence[Item], mixed: Sequence[tuple[Sequence[Item], int]], rng: random.Random) -> Iterator[Item]:
    bags: list[list[Item]] = [[] for _ in mixed]
    while True:
        epoch = list(own)
        for bag, (pool, drawn) in zip(bags, mixed, strict=True):
            for _ in range(drawn):
                if not bag:
                    bag += rng.sample(list(pool), len(pool))
                epoch.append(bag.pop())
        rng.shuffle(epoch)
        yield from epoch


def _by_length(group: list[Learnable], per_step: int, rng: random.Random) -> list[Learnable]:
    group = sorted(group, key=lambda example: example.length)
    batches = [group[start : start + per_step] for start in range(0, len(group), per_step)]
    rng.shuffle(batches)
    return [example for batch in batches for example in batch]
