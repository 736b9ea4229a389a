"""What each optimiser step computes on, decided in full before the first one: which rows, in which forward passes.

A step's loss is the mean over its learned tokens, however its conversations are laid out in rows, forward passes and
processes. Recipes count a step over all processes, so one GPU and four learn the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

import torch

from persona_training.backends.backend import Job
from persona_training.backends.packing import Row, first_fit, packed
from persona_training.backends.padding import padded
from persona_training.chat_template import IGNORED, Example
from persona_training.errors import DatasetError
from persona_training.processes import Process

Batch = dict[str, torch.Tensor]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Work:
    """One step's part of this process.

    Attributes:
        batches: a forward pass each; at least one.
        weight: what the losses of all batches on all processes are divided by: learned tokens, or replies.
        tokens: everything but padding, of all processes.
    """

    batches: tuple[Batch, ...]
    weight: int
    tokens: int


class Lessons(Protocol):
    """A run's steps, and its held-out examples, as work."""

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        ...

    def step(self, index: int) -> Work:
        """The work of the step after `index` steps."""
        ...

    def held_out(self) -> Work:
        """The work of one evaluation."""
        ...


@dataclass(frozen=True)
class Conversations:
    """A run's conversations as steps of forward passes; see `Work`.

    Attributes:
        single_row: rows stay alone in their forward pass; some attention kernels pack only then.
        picks: tell the model which columns to compute words for; see `picked`.
    """

    job: Job
    process: Process
    pad_token_id: int
    single_row: bool = False
    picks: bool = True
    _rows: tuple[tuple[Row, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        examples, steps = self.job.schedule.examples, self.job.recipe.steps
        if not all(isinstance(example, Example) for example in (*examples, *self.job.val)):
            raise DatasetError("Objective sft learns from conversations; this dataset holds preferences.")
        per_step = steps.batch_size * steps.gradient_accumulation
        laid = tuple(self._laid_out(part) for part in parts(cast(Sequence[Example], examples), per_step))
        object.__setattr__(self, "_rows", laid)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return len(self._rows)

    def step(self, index: int) -> Work:
        """The work of the step after `index` steps."""
        return self._work(self._rows[index])

    def held_out(self) -> Work:
        """The work of one evaluation."""
        return self._work(self._laid_out(cast(Sequence[Example], self.job.val)))

    @property
    def examples(self) -> tuple[Example, ...]:
        """The conversations in the order of the schedule."""
        return cast(tuple[Example, ...], tuple(self.job.schedule.examples))

    @property
    def _height(self) -> int:
        return 1 if self.single_row and self.job.recipe.packing else self.job.recipe.steps.batch_size

    def _laid_out(self, examples: Sequence[Example]) -> tuple[Row, ...]:
        if self.job.recipe.packing:
            return tuple(first_fit(examples, self.job.recipe.max_length))
        return tuple((example,) for example in examples)

    def _work(self, rows: Sequence[Row]) -> Work:
        examples = [example for row in rows for example in row]
        mine = rows[self.process.rank :: self.process.count] or [_silent(rows[0])]
        batches = tuple(self._batch(group) for group in parts(mine, self._height))
        weight = sum(label != IGNORED for example in examples for label in example.labels[1:])
        return Work(batches, max(weight, 1), sum(example.length for example in examples))

    def _batch(self, rows: Sequence[Row]) -> Batch:
        if self.job.recipe.packing:
            batch = packed(rows, self.pad_token_id)
        else:
            batch = padded([example for row in rows for example in row], self.pad_token_id)
        return picked(batch) if self.picks else batch


def picked(batch: Batch) -> Batch:
    """The batch with labels for the next token, only at columns where some row learns one.

    The vocabulary is by far the widest layer: computing words for prompts and padding costs memory and time for nothing.
    """
    following = torch.nn.functional.pad(batch.pop("labels"), (0, 1), value=IGNORED)[:, 1:]
    columns = (following != IGNORED).any(dim=0).nonzero().squeeze(1)
    if not len(columns):
        columns = torch.zeros(1, dtype=torch.long)
    asked = following[:, columns].contiguous()
    return {**batch, "labels": asked, "shift_labels": asked, "logits_to_keep": columns}


def parts(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Consecutive parts of `size`, the last one shorter where it does not come out even."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _silent(row: Row) -> Row:
    """A row that teaches nothing, for a process without one: all processes must take part in a step."""
    return tuple(Example(example.input_ids, (IGNORED,) * example.length) for example in row[:1])
