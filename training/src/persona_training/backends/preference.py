"""Learning from preferences: the losses of dpo and kto, and the batches they are computed on.

The reference is the model before this adapter, and costs no second copy: the same weights with the adapter switched off.

Sources: DPO, Rafailov et al. 2023 (arXiv 2305.18290), equation 7. KTO, Ethayarajh et al. 2024 (arXiv 2402.01306),
equations 7 and 8; its reference point is estimated, as there, on replies paired with another conversation of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from peft import PeftModel
from torch.nn.functional import log_softmax, logsigmoid

from persona_training.backends.backend import Job
from persona_training.backends.batches import Batch, Work, parts
from persona_training.backends.padding import padded
from persona_training.chat_template import IGNORED, Example
from persona_training.config import Recipe
from persona_training.errors import DatasetError, RecipeError
from persona_training.preferences import JudgedReply, PreferencePair
from persona_training.processes import Process
from persona_training.schedule import Learnable, Schedule

Kind = TypeVar("Kind", PreferencePair, JudgedReply)


def reply_log_probabilities(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The log-probability of each row's labelled tokens.

    Args:
        logits: (rows, tokens, vocabulary).
        labels: (rows, tokens); `IGNORED` where a token is only read.

    Returns:
        (rows,) sums in nats, in float32.
    """
    wanted = labels[:, 1:]
    learned = wanted != IGNORED
    every = log_softmax(logits[:, :-1].float(), dim=-1)
    chosen = every.gather(2, wanted.masked_fill(~learned, 0).unsqueeze(2)).squeeze(2)
    return (chosen * learned).sum(dim=1)


def dpo_loss(gains: torch.Tensor, rejected_gains: torch.Tensor, beta: float) -> torch.Tensor:
    """Mean loss of pairs.

    Args:
        gains: (pairs,) log-probability of the preferred reply minus the reference's, in nats.
        rejected_gains: the same of the other reply.
        beta: above 0; see `Recipe.beta`.
    """
    return -logsigmoid(beta * (gains - rejected_gains)).mean()


def kto_loss(
    gains: torch.Tensor, mismatched_gains: torch.Tensor, weights: torch.Tensor, desirable: torch.Tensor, beta: float
) -> torch.Tensor:
    """Mean loss of judged replies.

    Args:
        gains: (replies,) log-probability minus the reference's, in nats.
        mismatched_gains: the same of replies to other conversations; their mean, at least 0, is the reference point.
        weights: (replies,) what each counts.
        desirable: (replies,) whether it was liked.
        beta: above 0; see `Recipe.beta`.
    """
    point = mismatched_gains.mean().clamp(min=0).detach()
    distance = torch.where(desirable, gains - point, point - gains)
    return (weights * (1 - torch.sigmoid(beta * distance))).mean()


def balance(replies: Sequence[JudgedReply]) -> tuple[float, float]:
    """Weights of liked and disliked replies such that both kinds count as much in all, the more frequent one at 1.

    Raises:
        DatasetError: there is one kind only.
    """
    liked = sum(reply.desirable for reply in replies)
    disliked = len(replies) - liked
    if not liked or not disliked:
        missing = "disliked" if liked else "liked"
        raise DatasetError(
            f"The dataset has no {missing} replies; kto needs both kinds. Collect more votes, or use dpo."
        )
    most = max(liked, disliked)
    return most / liked, most / disliked


class PairRows:
    """A batch of pairs: the preferred replies' rows, then the others' in the same order."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, pairs: Sequence[PreferencePair]) -> Batch:
        return padded([*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)], self.pad_token_id)


class JudgedRows:
    """A batch of judged replies: their rows, then each conversation with the reply of the one after it."""

    def __init__(self, pad_token_id: int, weights: tuple[float, float]) -> None:
        self.pad_token_id = pad_token_id
        self.weights = weights

    def __call__(self, replies: Sequence[JudgedReply]) -> Batch:
        own = [reply.example for reply in replies]
        others = [_answered(mine, other) for mine, other in zip(own, [*own[1:], own[0]], strict=True)]
        liked, disliked = self.weights
        desirable = torch.tensor([reply.desirable for reply in replies])
        return {
            **padded([*own, *others], self.pad_token_id),
            "desirable": desirable,
            "weights": torch.where(desirable, liked, disliked),
        }


def _answered(asked: Example, answered: Example) -> Example:
    """The conversation of `asked` with the reply of `answered`."""
    read = next(place for place, label in enumerate(asked.labels) if label != IGNORED)
    said = next(place for place, label in enumerate(answered.labels) if label != IGNORED)
    return Example(asked.input_ids[:read] + answered.input_ids[said:], asked.labels[:read] + answered.labels[said:])


@dataclass(frozen=True)
class PreferenceLoss:
    """The objective's loss on a batch, as `loop.Loss`: each row counts the same, in whichever batch it lies."""

    recipe: Recipe

    def __call__(self, model: torch.nn.Module, batch: Batch, weight: int) -> torch.Tensor:
        """The batch's share of the step's mean over rows."""
        rows = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
        if self.recipe.objective == "dpo":
            gains, other_gains = _gains(model, rows).chunk(2)
            loss = dpo_loss(gains, other_gains, self.recipe.beta)
        else:
            own, others = ({name: rows[name].chunk(2)[half] for name in rows} for half in (0, 1))
            with torch.no_grad():  # nothing is learned from the reference point, so nothing is kept of what makes it
                other_gains = _gains(model, others)
            gains = _gains(model, own)
            loss = kto_loss(gains, other_gains, batch["weights"], batch["desirable"], self.recipe.beta)
        return loss * (len(gains) / weight)


def _gains(model: torch.nn.Module, rows: Batch) -> torch.Tensor:
    """(rows,) log-probability of each row's reply minus the reference's, in nats.

    The reference comes first: its scores over the vocabulary are gone before the model keeps its own for the backward pass.
    """
    read = {name: rows[name] for name in ("input_ids", "attention_mask")}
    # Over several processes the model is wrapped.
    with torch.no_grad(), cast(PeftModel, getattr(model, "module", model)).disable_adapter():
        reference = reply_log_probabilities(model(**read).logits, rows["labels"])
    return reply_log_probabilities(model(**read).logits, rows["labels"]) - reference


@dataclass(frozen=True)
class Preferences:
    """A run's pairs or judged replies as steps of forward passes; see `batches.Lessons`."""

    job: Job
    process: Process
    rows: PairRows | JudgedRows

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.job.schedule.steps

    def step(self, index: int) -> Work:
        """The work of the step after `index` steps."""
        per_step = self.job.recipe.steps.batch_size * self.job.recipe.steps.gradient_accumulation
        return self._work(self.job.schedule.examples[index * per_step : (index + 1) * per_step])

    def held_out(self) -> Work:
        """The work of one evaluation."""
        return self._work(self.job.val)

    def _work(self, items: Sequence[Learnable]) -> Work:
        shared = parts(items, self.job.recipe.steps.batch_size)
        if isinstance(self.rows, JudgedRows) and len(shared) > 1 and len(shared[-1]) == 1:
            shared[-2:] = [[*shared[-2], *shared[-1]]]  # alone, the last held-out reply would be weighed against itself
        batches = [self.rows(cast(Any, part)) for part in shared]
        mine = tuple(batches[self.process.rank :: self.process.count])
        return Work(mine, len(items), sum(int(batch["attention_mask"].sum()) for batch in batches))


def preference_lessons(job: Job, process: Process, pad_token_id: int) -> tuple[Preferences, PreferenceLoss]:
    """What a dpo or kto run computes on, and its loss.

    Raises:
        RecipeError: see `collator`; or a step has fewer batches than there are processes.
        DatasetError: see `collator`.
    """
    if job.recipe.steps.gradient_accumulation % process.count:
        raise RecipeError(
            f"Objective {job.recipe.objective} on {process.count} processes needs steps.gradient_accumulation "
            "to be a multiple of that: whole batches are shared out."
        )
    rows = collator(job.recipe, job.schedule.examples, pad_token_id)
    return Preferences(job, process, rows), PreferenceLoss(job.recipe)


def collator(recipe: Recipe, examples: Sequence[Learnable], pad_token_id: int) -> PairRows | JudgedRows:
    """What makes batches of a run's examples.

    Raises:
        RecipeError: kto with batches of one, which have no other conversation to compare with.
        DatasetError: the examples are not what the objective learns from.
    """
    if recipe.objective == "dpo":
        _all(PreferencePair, examples, recipe)
        return PairRows(pad_token_id)
    if recipe.steps.batch_size < 2:
        raise RecipeError("Objective kto compares the replies of a batch: set steps.batch_size to 2 or more.")
    return JudgedRows(pad_token_id, balance(_all(JudgedReply, examples, recipe)))


def check_learnable(recipe: Recipe, own: Sequence[Learnable], schedule: Schedule) -> None:
    """Refuse, before anything is loaded, what `collator` would refuse in the run.

    Raises:
        RecipeError, DatasetError: see `collator`; or the run's few steps meet replies of one kind only.
    """
    collator(recipe, own, 0)
    try:
        collator(recipe, schedule.examples, 0)
    except DatasetError as error:
        raise DatasetError(
            f"The run's {schedule.steps} steps meet replies of one kind only, and kto needs both: raise steps.max_steps "
            "or steps.batch_size."
        ) from error


def _all(kind: type[Kind], examples: Sequence[Learnable], recipe: Recipe) -> list[Kind]:
    wanted = [example for example in examples if isinstance(example, kind)]
    if len(wanted) != len(examples):
        raise DatasetError(f"Objective {recipe.objective} cannot learn from {type(examples[0]).__name__} examples.")
    return wanted
