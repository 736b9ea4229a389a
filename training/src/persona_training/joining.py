"""Joining layers for serving: one adapter out of a stack, exactly, or one merged model folder.

A stack of adapters adds its updates: W + s1·B1·A1 + s2·B2·A2. Writing the A's under each other and the B's beside each
other, with the scales folded into the B's, gives one adapter of rank r1 + r2 with the same sum. No base model is needed
for that, so joining layers of an 8B model takes seconds. Averages and pruned mixtures would need equal ranks and lose
something; they are not offered.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_training.adapters import WEIGHTS_FILE, adapter_chain, check_base, finished_adapter
from persona_training.bases import BaseModel
from persona_training.errors import AdapterError

if TYPE_CHECKING:
    import torch

A_SUFFIX, B_SUFFIX = ".lora_A.weight", ".lora_B.weight"
# Knobs that would make the plain sum wrong; none of our recipes sets them.
UNSUPPORTED = ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias")


def join_adapters(folder: Path, out_dir: Path) -> Path:
    """Write `folder`'s whole stack (its parents and itself) as one adapter into `out_dir`.

    The result behaves like the stack to float32 rounding (about 2e-6 in logits). Its rank is the sum of the ranks, so a
    week is joined afresh from its layers every time and never from last week's joined adapter.

    Raises:
        AdapterError: a layer is missing, changed, or uses a LoRA variant that does not add up this way.
    """
    from safetensors.torch import save_file

    chain = adapter_chain(folder)
    configs = [_plain_config(layer) for layer in chain]
    rank = sum(int(config["r"]) for config in configs)
    tensors = _joined(chain, configs)
    out_dir.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out_dir / WEIGHTS_FILE, metadata={"format": "pt"})
    modules = sorted({name for config in configs for name in config["target_modules"]})
    joined = {**configs[-1], "r": rank, "lora_alpha": rank, "target_modules": modules}
    (out_dir / "adapter_config.json").write_text(json.dumps(joined, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return out_dir


def merge_to_folder(base: BaseModel, adapter: Path | None, out_dir: Path) -> Path:
    """Write base + stack as one float32 transformers folder, tokenizer included: what serving formats are made from.

    Args:
        base: must be the base the adapter was trained on.
        adapter: the topmost adapter's folder; None writes the bare base.
        out_dir: created, or replaced when it exists.

    Raises:
        AdapterError: the adapter belongs to another base, or its stack is broken.
    """
    import torch

    from persona_training.models import load_base, load_tokenizer, merge_adapters

    chain = adapter_chain(adapter) if adapter is not None else []
    for layer in chain:
        check_base(finished_adapter(layer), base.sha256)
    model = merge_adapters(load_base(base.folder, torch.float32), chain)
    if out_dir.exists():
        shutil.rmtree(out_dir)
    model.save_pretrained(str(out_dir))
    load_tokenizer(base.folder).save_pretrained(str(out_dir))
    return out_dir


def _plain_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    used = [name for name in UNSUPPORTED if config.get(name)]
    if used:
        raise AdapterError(f"{folder.name} uses {', '.join(used)}; only plain LoRA layers can be joined exactly.")
    return config


def _joined(chain: Sequence[Path], configs: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Concatenate along the rank; a layer that lacks a module adds zeros there, so every module has the same rank."""
    import torch
    from safetensors.torch import load_file

    layers = [load_file(folder / WEIGHTS_FILE) for folder in chain]
    joined: dict[str, torch.Tensor] = {}
    for name in sorted({key for layer in layers for key in layer}):
        like = next(layer[name] for layer in layers if name in layer)
        parts = []
        for layer, config in zip(layers, configs, strict=True):
            rank = int(config["r"])
            if name.endswith(A_SUFFIX):
                parts.append(layer[name] if name in layer else like.new_zeros(rank, like.shape[1]))
            elif name.endswith(B_SUFFIX):
                scale = config["lora_alpha"] / rank
                parts.append(layer[name] * scale if name in layer else like.new_zeros(like.shape[0], rank))
            else:
                raise AdapterError(f"Unexpected tensor {name} in the stack; only plain LoRA layers can be joined.")
        joined[name] = torch.cat(parts, dim=0 if name.endswith(A_SUFFIX) else 1).contiguous()
    return joined
