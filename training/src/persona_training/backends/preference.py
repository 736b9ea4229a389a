"""Learning from preferences: the losses of dpo and kto, and the Trainer that computes them over a LoRA.

The reference is the model before this adapter, and costs no second copy: the same weights with the adapter switched off.

Sources: DPO, Rafailov et al. 2023 (arXiv 2305.18290), equation 7. KTO, Ethayarajh et al. 2024 (arXiv 2402.01306),
equations 7 and 8; its reference point is estimated, as there, on replies paired with another conversation of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch
from peft import PeftModel
from torch.nn.functional import log_softmax, logsigmoid
from transformers import Trainer

from persona_training.backends.padding import padded
from persona_training.chat_template import IGNORED, Example
from persona_training.config import Recipe
from persona_training.errors import DatasetError, RecipeError
from persona_training.preferences import JudgedReply, PreferencePair
from persona_training.schedule import Learnable

Batch = dict[str, torch.Tensor]
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


class PreferenceTrainer(Trainer):
    """A Trainer that learns which reply is better; the model is a LoRA whose base is the reference."""

    def __init__(self, *, recipe: Recipe, **given: Any) -> None:
        super().__init__(**given)
        self.recipe = recipe
        # The loss is a mean over rows, so accumulated batches are averaged, not weighted by their tokens.
        self.model_accepts_loss_kwargs = False

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The objective's loss on one batch."""
        del num_items_in_batch
        rows = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        labels = inputs["labels"]
        learned = reply_log_probabilities(model(**rows).logits, labels)
        with torch.no_grad(), cast(PeftModel, self.accelerator.unwrap_model(model)).disable_adapter():
            reference = reply_log_probabilities(model(**rows).logits, labels)
        gains, other_gains = (learned - reference).chunk(2)
        if self.recipe.objective == "dpo":
            loss = dpo_loss(gains, other_gains, self.recipe.beta)
        else:
            loss = kto_loss(gains, other_gains, inputs["weights"], inputs["desirable"], self.recipe.beta)
        return (loss, {}) if return_outputs else loss


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


def _all(kind: type[Kind], examples: Sequence[Learnable], recipe: Recipe) -> list[Kind]:
    wanted = [example for example in examples if isinstance(example, kind)]
    if len(wanted) != len(examples):
        raise DatasetError(f"Objective {recipe.objective} cannot learn from {type(examples[0]).__name__} examples.")
    return wanted
