"""The plain backend: transformers' Trainer over a peft LoRA, on CPU or CUDA.

The Trainer is given the run's examples as one sequence (see `schedule`), so resuming is a skip. CUDA paths are written
but not measured yet.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from persona_training.adapters import write_json
from persona_training.backends.backend import Job, Monitor, Outcome, Step
from persona_training.backends.padding import padded
from persona_training.chat_template import Example
from persona_training.models import load_base, merge_adapters
from persona_training.schedule import Learnable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# A checkpoint counts only once this file lies in it: a kill in the middle of saving leaves none.
COMPLETE = "complete.json"
KEPT_CHECKPOINTS = 2


class TransformersBackend:
    """Trains with transformers and peft alone."""

    name = "hf"

    def train(self, job: Job, monitor: Monitor) -> Outcome:
        """Run the job; see `Backend.train`."""
        recipe = job.recipe
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        monitor.stage("loading the base model")
        model = _with_adapter(job)
        watch = _Watch(monitor, has_val=bool(job.val))
        trainer = _trainer(job, model, watch)
        _quiet(trainer)
        monitor.stage("training")
        trainer.train(resume_from_checkpoint=str(job.checkpoint) if job.checkpoint else None)
        if not watch.stopped:
            monitor.stage("saving")
            model.save_pretrained(str(job.out_dir))
        return Outcome(watch.stopped, int(trainer.state.global_step), int(trainer.state.num_input_tokens_seen))


def _trainer(job: Job, model: PeftModel, watch: _Watch) -> Trainer:
    pad_token_id = getattr(model.config, "pad_token_id", None) or 0
    given: dict[str, Any] = {
        "model": model,
        "args": _arguments(job),
        "train_dataset": _Examples(job.schedule.examples),
        "eval_dataset": _Examples(job.val) if job.val else None,
        "callbacks": [watch],
    }
    if job.recipe.objective == "sft":
        return Trainer(**given, data_collator=_Padding(pad_token_id))
    from persona_training.backends.preference import PreferenceTrainer, collator

    return PreferenceTrainer(
        recipe=job.recipe, **given, data_collator=collator(job.recipe, job.schedule.examples, pad_token_id)
    )


def latest_checkpoint(out_dir: Path) -> Path | None:
    """The newest checkpoint that was saved completely, or None."""
    complete = [path.parent for path in (out_dir / "checkpoints").glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


def checkpoint_step(checkpoint: Path) -> int:
    """The optimiser step after which a checkpoint was taken."""
    step: int = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))["step"]
    return step


def _with_adapter(job: Job) -> PeftModel:
    """The base with its parents merged in, and one fresh adapter: the only trainable weights."""
    recipe = job.recipe
    base: PreTrainedModel = merge_adapters(load_base(job.base_dir, job.hardware.dtype), job.parents)
    base.config.use_cache = False
    torch.manual_seed(recipe.seed)
    lora = LoraConfig(
        r=recipe.lora.r,
        lora_alpha=recipe.lora.lora_alpha,
        lora_dropout=recipe.lora.lora_dropout,
        target_modules=list(recipe.lora.target_modules),
        bias="none",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, lora)


def _arguments(job: Job) -> TrainingArguments:
    steps = job.recipe.steps
    cuda = job.hardware.device.type == "cuda"
    evaluates = bool(job.val) and steps.eval_every > 0
    return TrainingArguments(
        output_dir=str(job.out_dir / "checkpoints"),
        use_cpu=not cuda,
        bf16=cuda and job.hardware.dtype == torch.bfloat16,
        max_steps=job.schedule.steps,
        per_device_train_batch_size=steps.batch_size,
        per_device_eval_batch_size=steps.batch_size,
        gradient_accumulation_steps=steps.gradient_accumulation,
        gradient_checkpointing=steps.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if steps.gradient_checkpointing else None,
        learning_rate=steps.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(job.schedule.steps * steps.warmup_share),
        weight_decay=steps.weight_decay,
        max_grad_norm=steps.max_grad_norm,
        optim="adamw_torch_fused" if cuda else "adamw_torch",
        train_sampling_strategy="sequential",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=steps.eval_every if evaluates else None,
        save_strategy="steps",
        save_steps=steps.save_every,
        save_total_limit=KEPT_CHECKPOINTS,
        include_num_input_tokens_seen="non_padding",
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=cuda,
        report_to="none",
        disable_tqdm=True,
        seed=job.recipe.seed,
        data_seed=job.recipe.seed,
    )


def _quiet(trainer: Trainer) -> None:
    """Drop the callback that prints raw dictionaries: the monitor shows the run."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)


class _Examples(torch.utils.data.Dataset[Learnable]):
    def __init__(self, examples: Sequence[Learnable]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Learnable:
        return self.examples[index]


class _Padding:
    """Pads a batch on the right to its longest conversation."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        return padded(examples, self.pad_token_id)


class _Watch(TrainerCallback):
    """Carries every step to the monitor, and a wish to stop to the Trainer."""

    def __init__(self, monitor: Monitor, has_val: bool) -> None:
        self.monitor = monitor
        self.has_val = has_val
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
        if self.monitor.should_stop() and not last:
            self.stopped = control.should_save = control.should_training_stop = True
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        write_json(folder / COMPLETE, {"step": state.global_step})
