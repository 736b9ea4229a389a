"""Loading base models and tokenizers from a folder, and merging adapters into a base in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from persona_training.errors import AdapterError, BaseModelError
from persona_training.plain_templates import make_trainable

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def without_shard_bars() -> None:
    """Turn off transformers' bars for loading and writing weights: on stderr they would tear the run's own display."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The folder's tokenizer, with a chat template and an end token, never fetched from elsewhere.

    A template that rewrites earlier turns gives way to a plain one of the same family, see `plain_templates`.

    Raises:
        BaseModelError: no tokenizer, no chat template or no end token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BaseModelError(f"No usable tokenizer in {folder}: {error}") from error
    if not tokenizer.chat_template:
        raise BaseModelError(
            f"The tokenizer in {folder} has no chat template: use an instruct (chat) model as the base."
        )
    if tokenizer.eos_token_id is None:
        raise BaseModelError(f"The tokenizer in {folder} names no end token, so a reply could never stop.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    make_trainable(tokenizer)
    return tokenizer


def load_base(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A causal language model from a folder.

    Raises:
        BaseModelError: the folder is missing, incomplete, damaged, or not a causal language model.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    without_shard_bars()
    if not (folder / "config.json").is_file():
        raise BaseModelError(f"No base model in {folder} (config.json is missing). Give --base-model a model folder.")
    read: Any = AutoModelForCausalLM.from_pretrained
    try:
        model, loaded = read(folder, dtype=dtype, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BaseModelError(f"The base model in {folder} cannot be loaded: {error}") from error
    if missing := sorted(loaded["missing_keys"]):
        # transformers would go on with random numbers in their place.
        raise BaseModelError(
            f"The base model in {folder} lacks {len(missing)} of its weights ({', '.join(missing[:3])}): it is not complete, "
            "or no language model. Copy or download it again."
        )
    return cast("PreTrainedModel", model)


def merge_adapters(model: PreTrainedModel, adapters: Sequence[Path]) -> PreTrainedModel:
    """Add each adapter's weights into the model, in order, and return the plain model.

    Merging rounds to the model's dtype: exact to about 2e-6 in float32, visibly lossy in bfloat16.

    Raises:
        AdapterError: a folder holds no adapter, or one for other shapes.
    """
    from peft import PeftModel

    for adapter in adapters:
        if not (adapter / "adapter_config.json").is_file():
            raise AdapterError(f"No adapter in {adapter} (adapter_config.json is missing).")
        try:
            model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        except (OSError, ValueError, RuntimeError) as error:
            raise AdapterError(f"The adapter in {adapter} does not fit this base model: {error}") from error
    return model


def on_device(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """The same model on `device` (transformers wraps `to` in a decorator without types, hence the detour)."""
    to: Any = model.to
    moved: PreTrainedModel = to(device)
    return moved
