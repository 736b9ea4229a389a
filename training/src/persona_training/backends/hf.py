"""The plain backend: a peft LoRA trained by transformers' Trainer (see `loop`), on CPU or CUDA, one process or several."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence

import torch
from peft import PeftModel
from transformers import TrainerCallback, TrainingArguments

from persona_training.backends.backend import Job, Monitor, Outcome
from persona_training.backends.batches import Conversations, Lessons
from persona_training.backends.checkpoints import drop_incomplete
from persona_training.backends.early_stop import Best
from persona_training.backends.loop import Loop, Loss, arguments, token_loss
from persona_training.backends.lora import check_four_bit, with_adapter
from persona_training.backends.packing import require_kept_apart
from persona_training.backends.watch import Watch, require_finite_weights
from persona_training.config import Recipe
from persona_training.hardware import Hardware
from persona_training.processes import Process, connect, leave, shared

# Attention implementations that keep several packed rows apart by their positions; others do so with one row at most.
BLOCK_MASKS = ("sdpa", "eager")


class TransformersBackend:
    """Trains with transformers and peft alone.

    Attributes:
        callbacks: told of the loop's events beside the monitor; for measuring.
    """

    name = "hf"
    callbacks: Sequence[TrainerCallback] = ()

    def check(self, recipe: Recipe, hardware: Hardware) -> None:
        """Refuse what this backend cannot do here; see `Backend.check`."""
        check_four_bit(recipe, hardware)

    def train(self, job: Job, monitor: Monitor) -> Outcome:
        """Run the job; see `Backend.train`."""
        self.check(job.recipe, job.hardware)
        process = connect()
        return self.run(shared(job, process), monitor, process)

    def run(self, job: Job, monitor: Monitor, process: Process) -> Outcome:
        """This process's share of the job; see `Backend.run`."""
        outcome = self._learn(job, monitor, process)
        leave(process)
        return outcome

    def _learn(self, job: Job, monitor: Monitor, process: Process) -> Outcome:
        if process.first:
            drop_incomplete(job.out_dir)
        if job.recipe.threads is not None:
            torch.set_num_threads(job.recipe.threads)
        torch.manual_seed(job.recipe.seed)
        monitor.stage("loading the base model")
        model = self.load(job)
        # peft would write a hub's model card with every checkpoint: nobody uploads it, it names this machine's folders, and
        # it takes longer than a small adapter's weights (85 ms on one CPU).
        setattr(model, "create_or_update_model_card", _no_card)  # noqa: B010 (mypy refuses an assignment)
        best = Best.of(job.recipe.steps.patience, job.checkpoint)
        watch = Watch(monitor, best, bool(job.val), process)
        lessons, loss = self.lessons(job, model, process)
        loop = Loop(
            lessons=lessons, loss=loss, model=model, args=self.arguments(job), callbacks=[watch, *self.callbacks]
        )
        monitor.stage("training")
        steps, tokens = _train(loop, job, best)
        if not watch.stopped:
            monitor.stage("saving")
            best.restore(model)
            require_finite_weights(model, steps, job.recipe.steps.learning_rate)
            if process.first:
                model.save_pretrained(str(job.out_dir))
        return Outcome(watch.stopped, steps, tokens, best.step, best.loss)

    def load(self, job: Job) -> PeftModel:
        """The model to train."""
        return with_adapter(job)

    def arguments(self, job: Job) -> TrainingArguments:
        """The recipe in the Trainer's words."""
        return arguments(job)

    def lessons(self, job: Job, model: PeftModel, process: Process) -> tuple[Lessons, Loss]:
        """What the objective computes on, and its loss."""
        pad_token_id = getattr(model.config, "pad_token_id", None) or 0
        if job.recipe.objective != "sft":
            from persona_training.backends.preference import preference_lessons

            return preference_lessons(job, process, pad_token_id)
        plain = _plain(model)
        attention = str(getattr(plain.config, "_attn_implementation", ""))
        picks = "logits_to_keep" in inspect.signature(type(plain).forward).parameters
        found = Conversations(job, process, pad_token_id, single_row=attention not in BLOCK_MASKS, picks=picks)
        if job.recipe.packing:
            require_kept_apart(model, found.examples)
        return found, token_loss


def _train(loop: Loop, job: Job, best: Best) -> tuple[int, int]:
    """Train to the end or to a stop; steps and tokens since the run began."""
    if best.exhausted and job.checkpoint is not None:
        # Killed after the last evaluation and before saving: there is nothing left to learn.
        state = json.loads((job.checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        return state["global_step"], state["num_input_tokens_seen"]
    loop.train(resume_from_checkpoint=str(job.checkpoint) if job.checkpoint else None)
    return int(loop.state.global_step), int(loop.state.num_input_tokens_seen)


def _plain(model: PeftModel) -> torch.nn.Module:
    """The transformers model under the adapter."""
    found: torch.nn.Module = model.get_base_model()
    return found


def _no_card(_output_dir: str) -> None:
    return
