"""The model a run trains: the base with its parents merged in, and one fresh adapter on it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from persona_training.backends.backend import Job
from persona_training.config import Recipe
from persona_training.errors import BaseModelError, RecipeError
from persona_training.hardware import Hardware
from persona_training.models import load_base, merge_adapters, without_shard_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def with_adapter(job: Job) -> PeftModel:
    """The base with its parents merged in, and one fresh adapter: the only trainable weights."""
    recipe = job.recipe
    if recipe.load_in_4bit:
        require_merged(job)
        base = load_in_four_bits(job.base_dir, job.hardware)
    else:
        base = merge_adapters(load_base(job.base_dir, job.hardware.dtype), job.parents)
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


def check_four_bit(recipe: Recipe, hardware: Hardware) -> None:
    """Refuse 4 bits where they cannot be had.

    Raises:
        RecipeError: no CUDA GPU, or bitsandbytes is missing.
    """
    if not recipe.load_in_4bit:
        return
    if hardware.device.type != "cuda":
        raise RecipeError("load_in_4bit needs a CUDA GPU; this run is on the CPU. Set load_in_4bit: false.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise RecipeError(
            "load_in_4bit needs the library bitsandbytes: pip install bitsandbytes. Or set load_in_4bit: false."
        )


def require_merged(job: Job) -> None:
    """In 4 bits, parents must be in the folder already: merging into 4-bit weights would lose much of them.

    Raises:
        RecipeError: the job still has parents to merge; see `joining.merged_base`.
    """
    if job.recipe.load_in_4bit and job.parents:
        raise RecipeError("A 4-bit base is made from a folder in which the layers below are merged; see merged_base.")


def load_in_four_bits(folder: Path, hardware: Hardware) -> PreTrainedModel:
    """The base in NF4 with doubly quantised scales (QLoRA, Dettmers et al. 2023, arXiv 2305.14314, section 3).

    Raises:
        BaseModelError: it cannot be loaded so.
    """
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    without_shard_bars()
    four_bits: Any = BitsAndBytesConfig
    how = four_bits(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=hardware.dtype,
    )
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=hardware.dtype,
            quantization_config=how,
            device_map={"": torch.cuda.current_device()},
            local_files_only=True,
        )
    except (OSError, ValueError) as error:
        raise BaseModelError(f"The base model in {folder} cannot be loaded in 4 bits: {error}") from error
    return model
