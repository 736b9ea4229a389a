"""The Unsloth backend: Unsloth's model and kernels under the same loop, tokens, labels and schedule as the plain one.

Unsloth is an optional library (`training/requirements-unsloth.txt`): fast kernels on CUDA, and since 2026.10.9 a CPU path of
plain transformers and peft, with which the tests train through the real library. Its core is Apache-2.0, its CPU path
AGPL-3.0; nothing of it is copied here. Only loading and adding the adapter are asked of it: its savers can install system
packages and are never called. The CUDA path is written after Unsloth's sources and has not been measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import TrainingArguments

from persona_training.backends.backend import Job
from persona_training.backends.batches import Conversations, Lessons
from persona_training.backends.hf import TransformersBackend
from persona_training.backends.loop import Loss, token_loss
from persona_training.backends.lora import check_four_bit, require_merged
from persona_training.backends.packing import require_kept_apart
from persona_training.config import Recipe
from persona_training.errors import BaseModelError, RecipeError
from persona_training.hardware import Hardware
from persona_training.models import merge_adapters
from persona_training.processes import Process, this_process

logger = logging.getLogger(__name__)

# Read while importing: no statistics call, and compiled kernels not in the working directory.
SETTINGS = {
    "UNSLOTH_DISABLE_STATISTICS": "1",
    "UNSLOTH_COMPILE_LOCATION": str(Path(tempfile.gettempdir()) / "casiopy-unsloth-compiled"),
}
REMEDY = "pip install --no-deps -r training/requirements-unsloth.txt (its comments say what CUDA needs besides), or backend: hf"


class UnslothBackend(TransformersBackend):
    """Trains with Unsloth's model; everything around it is the plain backend's.

    Made early: Unsloth speeds up more of transformers when it is imported first.
    """

    name = "unsloth"

    def __init__(self) -> None:
        self.library = _imported()

    def check(self, recipe: Recipe, hardware: Hardware) -> None:
        """Refuse what Unsloth is not used for here; see `Backend.check`."""
        if recipe.objective != "sft":
            raise RecipeError(f"Objective {recipe.objective} is learned with backend: hf; unsloth does sft only.")
        if this_process().count > 1:
            raise RecipeError("Several processes train with backend: hf; unsloth uses one GPU.")
        check_four_bit(recipe, hardware)

    def load(self, job: Job) -> PeftModel:
        """Unsloth's model of the base, parents merged in, with one fresh adapter."""
        require_merged(job)
        recipe, lora = job.recipe, job.recipe.lora
        fast = self.library.FastLanguageModel
        recompute = "unsloth" if recipe.steps.gradient_checkpointing else False
        with _unheard(), _offline():
            try:
                base, _ = fast.from_pretrained(
                    str(job.base_dir),
                    max_seq_length=recipe.max_length,
                    dtype=job.hardware.dtype,
                    load_in_4bit=recipe.load_in_4bit,
                    use_gradient_checkpointing=recompute,
                    local_files_only=True,
                )
            except (OSError, ValueError, NotImplementedError) as error:
                raise BaseModelError(f"Unsloth cannot load the base model in {job.base_dir}: {error}") from error
            model: PeftModel = fast.get_peft_model(
                merge_adapters(base, job.parents),
                r=lora.r,
                target_modules=list(lora.target_modules),
                lora_alpha=lora.lora_alpha,
                lora_dropout=lora.lora_dropout,
                bias="none",
                use_gradient_checkpointing=recompute,
                random_state=recipe.seed,
                max_seq_length=recipe.max_length,
            )
            fast.for_training(model, use_gradient_checkpointing=bool(recompute))
        return model

    def arguments(self, job: Job) -> TrainingArguments:
        """As the plain backend's, but the model was told already how to recompute activations."""
        steps = dataclasses.replace(job.recipe.steps, gradient_checkpointing=False)
        return super().arguments(dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, steps=steps)))

    def lessons(self, job: Job, model: PeftModel, process: Process) -> tuple[Lessons, Loss]:
        """The plain backend's conversations, laid out as Unsloth's kernels take them."""
        cuda = job.hardware.device.type == "cuda"
        pad_token_id = getattr(model.config, "pad_token_id", None) or 0
        # On CUDA it tells packed rows apart only where each has a forward pass of its own, and picks words by itself.
        found = Conversations(job, process, pad_token_id, single_row=cuda, picks=not cuda)
        if job.recipe.packing:
            require_kept_apart(model, found.examples)
        return found, token_loss


def _imported() -> Any:
    """The library, imported without a word on the console.

    Raises:
        RecipeError: it is missing, or does not run with what is installed.
    """
    if importlib.util.find_spec("unsloth") is None:
        raise RecipeError(f"Backend unsloth needs a library that is not installed: {REMEDY}.")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with _unheard():
        try:
            return importlib.import_module("unsloth")
        except (ImportError, NotImplementedError, RuntimeError) as error:
            raise RecipeError(f"Unsloth is installed but cannot be used here ({error}). Try: {REMEDY}.") from error


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """What Unsloth prints goes to the log: on the console it would tear the run's own display."""
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield
    finally:
        for line in said.getvalue().splitlines():
            if line.strip():
                logger.info("unsloth: %s", line.strip())


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """No call to the model hub: the base lies on this disk already."""
    from huggingface_hub import constants

    before = os.environ.get("HF_HUB_OFFLINE"), constants.HF_HUB_OFFLINE
    os.environ["HF_HUB_OFFLINE"], constants.HF_HUB_OFFLINE = "1", True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before[1]
        if before[0] is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before[0]
