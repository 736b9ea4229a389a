"""The model a run trains: the base with its parents merged in, and one fresh adapter on it."""

from __future__ import annotations

import difflib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers.pytorch_utils import Conv1D

from persona_training.backends.backend import Job
from persona_training.config import Recipe
from persona_training.errors import BaseModelError, RecipeError
from persona_training.hardware import Hardware
from persona_training.models import load_base, merge_adapters, without_shard_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The layers peft can put a LoRA beside (its `tuners/lora/model.py`) that language models are made of.
ADAPTABLE = (torch.nn.Linear, torch.nn.Embedding, Conv1D)


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


def check_target_modules(recipe: Recipe, folder: Path) -> None:
    """Refuse layers the base does not have: peft leaves out a name without a match and says nothing, if another has one.

    The base is built without weights from its `config.json`, so this costs no memory and no reading.

    Raises:
        RecipeError: a name fits none of the base's layers that can take an adapter.
        BaseModelError: the base's configuration cannot be read.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    blank: Any = AutoModelForCausalLM
    try:
        with torch.device("meta"):
            model: PreTrainedModel = blank.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise BaseModelError(f"The base model in {folder} cannot be loaded: {error}") from error
    paths = [name for name, module in model.named_modules() if isinstance(module, ADAPTABLE)]
    known = sorted({path.rpartition(".")[2] for path in paths})
    for wanted in recipe.lora.target_modules:
        if not any(path == wanted or path.endswith(f".{wanted}") for path in paths):
            close = difflib.get_close_matches(wanted, known, 3)
            hint = f"did you mean {' or '.join(close)}? It has" if close else "it has"
            raise RecipeError(
                f"lora.target_modules names {wanted!r}, which {recipe.base_model} does not have; {hint}: {', '.join(known)}."
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
