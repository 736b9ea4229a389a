"""Carries what happens in the loop to the monitor and to the checkpoints, and what the monitor wants to the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from persona_training.backends.backend import Monitor, Step
from persona_training.backends.checkpoints import seal
from persona_training.backends.early_stop import Best
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
        self.monitor.step(
            Step(
                step=state.global_step,
                loss=logs.get("loss"),
                eval_loss=logs.get("eval_loss"),
                learning_rate=logs.get("learning_rate"),
                grad_norm=logs.get("grad_norm"),
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
