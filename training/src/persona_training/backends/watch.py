"""Carries what happens in the loop to the monitor and to the checkpoints, and what the monitor wants to the loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from persona_training.backends.backend import Monitor, Step
from persona_training.backends.checkpoints import seal
from persona_training.backends.early_stop import Best
from persona_training.errors import PersonaTrainingError
from persona_training.processes import Process, any_of


class Watch(TrainerCallback):
    """Tells the monitor of every step; stops the loop on request or when patience is at its end.

    Attributes:
        stopped: True once somebody asked the run to stop.
    """

    def __init__(self, monitor: Monitor, best: Best, has_val: bool, process: Process) -> None:
        self.monitor = monitor
        self.best = best
        self.has_val = has_val
        self.process = process
        self.stopped = False

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs: dict[str, Any] = kwargs["logs"]
        if "loss" not in logs and "eval_loss" not in logs:
            return
        # Losses are those of all processes together, so all of them end here and none waits for the others.
        for name, told in (("loss", "loss"), ("eval_loss", "held-out loss")):
            if not math.isfinite(logs.get(name) or 0.0):
                raise diverged(f"The {told}", state.global_step, args.learning_rate)
        norm = logs.get("grad_norm")
        if norm is not None and not math.isfinite(norm):
            if not args.fp16:
                raise diverged("The gradient", state.global_step, args.learning_rate)
            norm = None  # float16's loss scaling met its limit: the step is skipped and the scale lowered
        self.monitor.step(
            Step(
                step=state.global_step,
                loss=logs.get("loss"),
                eval_loss=logs.get("eval_loss"),
                learning_rate=logs.get("learning_rate"),
                grad_norm=norm,
                tokens=int(state.num_input_tokens_seen),
            )
        )

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> TrainerControl:
        last = state.global_step >= state.max_steps
        if last and self.has_val:
            control.should_evaluate = True
        if any_of(self.monitor.should_stop(), self.process) and not last:
            self.stopped = control.should_save = control.should_training_stop = True
        return control

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        model: torch.nn.Module = kwargs["model"]
        self.best.offer(state.global_step, kwargs["metrics"]["eval_loss"], model)
        if self.best.exhausted:
            control.should_training_stop = True
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if self.process.first:
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            self.best.save(folder)
            seal(folder, state.global_step)


def require_finite_weights(model: torch.nn.Module, step: int, learning_rate: float) -> None:
    """Refuse to keep an adapter whose last update left no usable weights; no loss was computed with them.

    Raises:
        PersonaTrainingError: a trained weight is infinite or not a number.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    if not all(bool(torch.isfinite(weight).all()) for weight in trained):
        raise diverged("A weight", step, learning_rate)


def diverged(what: str, step: int, learning_rate: float) -> PersonaTrainingError:
    """The run cannot come back from here, however long it goes on; resuming would end at the same step."""
    return PersonaTrainingError(
        f"{what} is no number after step {step}: lower steps.learning_rate (it is {learning_rate:g}) or raise "
        "steps.warmup_share, and start a new run."
    )
