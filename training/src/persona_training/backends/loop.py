"""The training loop: transformers' Trainer, taught to take its steps as `batches` lays them out.

The Trainer keeps what it does well (optimiser, learning rate, clipping, devices, checkpoints, resuming). Replaced is what
it would decide by itself: which rows share a forward pass, how losses are weighted, what an evaluation averages.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from persona_training.backends.backend import Job
from persona_training.backends.batches import Batch, Lessons, Work
from persona_training.backends.checkpoints import checkpoints_folder
from persona_training.errors import StorageError
from persona_training.processes import this_process

# The share of a step's loss that lies in one batch: (model, batch, weight of the step) → scalar, with gradients.
Loss = Callable[[torch.nn.Module, Batch, int], torch.Tensor]


def token_loss(model: torch.nn.Module, batch: Batch, weight: int) -> torch.Tensor:
    """Cross-entropy of the batch's learned tokens, summed and divided by the step's `weight`, in nats."""
    loss: torch.Tensor = model(**batch, num_items_in_batch=weight, use_cache=False).loss
    return loss


class Loop(Trainer):
    """Trains a model on `lessons` with `loss`; the rest is the Trainer's."""

    def __init__(self, *, lessons: Lessons, loss: Loss, **given: Any) -> None:
        super().__init__(**given, train_dataset=_Steps(lessons), eval_dataset=_Steps(lessons))
        self.lessons = lessons
        self.loss = loss
        # Prints raw dictionaries; the monitor shows the run.
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> torch.utils.data.DataLoader[Work]:
        """One item a step; what this process computes in it is decided already."""
        return torch.utils.data.DataLoader(
            cast(torch.utils.data.Dataset[Work], self.train_dataset), batch_size=1, collate_fn=_only
        )

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], None]:
        """The next step; its weight is known and need not be counted."""
        del num_batches, device
        return [next(epoch_iterator)], None

    def training_step(self, model: torch.nn.Module, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Forward and backward of every batch of a step; the mean loss per learned token of all processes together."""
        del num_items_in_batch
        work = cast(Work, inputs)
        model.train()
        processes = self.args.world_size
        total = torch.zeros((), device=self.args.device)
        for index, batch in enumerate(work.batches):
            last = index == len(work.batches) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    # Gradients are averaged over the processes; times their number, that is the sum.
                    loss = self.loss(model, self._prepare_inputs(batch), work.weight) * processes
                self.accelerator.backward(loss)
            total += loss.detach()
        self.state.num_input_tokens_seen += work.tokens
        return total

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The held-out loss: the mean over all learned tokens, whatever their layout in batches."""
        work = self.lessons.held_out()
        model = self.accelerator.unwrap_model(self.model_wrapped)
        model.eval()
        total = torch.zeros((), device=self.args.device)
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in work.batches:
                total += self.loss(model, self._prepare_inputs(batch), work.weight)
        metrics = {"eval_loss": float(self.accelerator.reduce(total, "sum"))}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted."""
        return 0

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            # torch's writer says RuntimeError on a full disk. Half a checkpoint is of no use and takes room.
            shutil.rmtree(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}", ignore_errors=True)
            raise StorageError(
                f"The checkpoint after step {self.state.global_step} could not be written: {error}. "
                "Free some space, then continue with --resume; the checkpoint before it is whole."
            ) from error
        self.accelerator.wait_for_everyone()


def arguments(job: Job) -> TrainingArguments:
    """The recipe in the Trainer's words."""
    recipe, steps = job.recipe, job.recipe.steps
    cuda = job.hardware.device.type == "cuda"
    if not cuda and this_process().count > 1:
        # accelerate would say cpu:0, cpu:1 …, where torch cannot load a checkpoint to.
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    chosen = TrainingArguments(
        output_dir=str(checkpoints_folder(job.out_dir)),
        use_cpu=not cuda,
        bf16=cuda and job.hardware.dtype == torch.bfloat16,
        fp16=cuda and job.hardware.dtype == torch.float16,
        max_steps=job.schedule.steps,
        per_device_train_batch_size=1,
        gradient_checkpointing=steps.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if steps.gradient_checkpointing else None,
        learning_rate=steps.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(job.schedule.steps * steps.warmup_share),
        weight_decay=steps.weight_decay,
        max_grad_norm=steps.max_grad_norm,
        optim="adamw_torch_fused" if cuda else "adamw_torch",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        **_evaluations(job),
        save_strategy="steps",
        save_steps=steps.save_every,
        save_total_limit=None,  # `checkpoints.seal` drops older ones, and only after the new one is whole
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        seed=recipe.seed,
    )
    if chosen.n_gpu > 1:
        # Started alone on a machine with several GPUs, the Trainer would spread batches over them in threads.
        chosen._n_gpu = 1
    return chosen


def _evaluations(job: Job) -> dict[str, Any]:
    """When held-out rows are looked at; after the last step `Watch` asks for it."""
    every = job.recipe.steps.eval_every
    return {"eval_strategy": "steps", "eval_steps": every} if job.val and every else {"eval_strategy": "no"}


class _Steps(torch.utils.data.Dataset[Work]):
    def __init__(self, lessons: Lessons) -> None:
        self.lessons = lessons

    def __len__(self) -> int:
        return self.lessons.steps

    def __getitem__(self, index: int) -> Work:
        return self.lessons.step(index)


def _only(items: Sequence[Work]) -> Work:
    return items[0]
