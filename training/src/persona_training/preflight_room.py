"""Will it fit: the device's memory while it learns, and the disk for what it leaves."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from persona_training.cards import USABLE_SHARE
from persona_training.errors import RecipeError
from persona_training.findings import Check
from persona_training.memory_estimate import estimate, trainable_count
from persona_training.preparation import Prepared

# The estimate meets published figures within a fifth (training/README.md); only what is further beyond the memory is refused.
ESTIMATE_ERROR = 1.2
# The two that are kept, and the one being written: the oldest goes only after the newest is whole.
CHECKPOINTS_AT_ONCE = 3
# A checkpoint holds the adapter's weights and AdamW's two moments in float32.
CHECKPOINT_BYTES_PER_WEIGHT = 12
ADAPTER_BYTES_PER_WEIGHT = 4
# Metrics, manifests, TensorBoard events and the state of schedule and random numbers of a long run.
SMALL_FILES_BYTES = 64 << 20


def check_memory(prepared: Prepared, device_in_use: bool) -> Check:
    """The estimated peak against what the device has free, or against all it has while another run is on it."""
    recipe, device = prepared.request.recipe, prepared.hardware.device
    counted = dataclasses.replace(recipe, device=device.type, dtype=prepared.hardware.dtype_name)
    try:
        needed = estimate(_config(prepared), counted, parents=len(prepared.to_merge))
    except RecipeError as error:
        return Check("memory", "note", error.message, "A run of two steps shows whether it fits: --max-steps 2.")
    free, whose = _free(device.type, device_in_use)
    found = f"{needed.sentence()}; {free / 1e9:.1f} GB {whose}"
    if needed.total_bytes > free * ESTIMATE_ERROR:
        return Check("memory", "fail", found, _lower(prepared))
    if needed.total_bytes > free * USABLE_SHARE:
        return Check("memory", "note", f"{found}: it may just fit", _lower(prepared))
    main, _ = _free("cpu", device_in_use)
    if device.type == "cuda" and needed.host_bytes > main:
        loading = f"loading takes {needed.host_bytes / 1e9:.1f} GB of main memory, {main / 1e9:.1f} GB are available"
        return Check("memory", "note", f"{found}; {loading}", "Close other programs, or the system may end the run.")
    return Check("memory", "ok", found)


def check_disk(prepared: Prepared, adapters_dir: Path) -> Check:
    """Free space against the checkpoints that exist at the same time, and the finished adapter."""
    place = adapters_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    try:
        weights = trainable_count(_config(prepared), prepared.request.recipe.lora)
    except RecipeError as error:
        return Check("disk", "note", f"{free / 1e9:.1f} GB free; {error.message}")
    checkpoints = CHECKPOINTS_AT_ONCE * CHECKPOINT_BYTES_PER_WEIGHT * weights
    needed = checkpoints + ADAPTER_BYTES_PER_WEIGHT * weights + SMALL_FILES_BYTES + _tokenizer_bytes(prepared)
    found = f"{needed / 1e9:.2f} GB for checkpoints and adapter, {free / 1e9:.1f} GB free in {adapters_dir}"
    if needed > free:
        return Check("disk", "fail", found, "Free some space, or give another --output-dir.")
    return Check("disk", "ok", found)


def _config(prepared: Prepared) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((prepared.base.folder / "config.json").read_text(encoding="utf-8"))
    return config


def _free(device: str, in_use: bool) -> tuple[int, str]:
    if device == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info()
        return (total, "on the GPU, in use by another run now") if in_use else (free, "free on the GPU")
    import psutil

    memory = psutil.virtual_memory()
    return (memory.total, "of main memory, in use by another run now") if in_use else (memory.available, "available")


def _lower(prepared: Prepared) -> str:
    steps, ways = prepared.request.recipe.steps, []
    if not steps.gradient_checkpointing:
        ways.append("set steps.gradient_checkpointing: true")
    if steps.batch_size > 1:
        ways.append("halve steps.batch_size and double gradient_accumulation")
    if prepared.hardware.device.type == "cuda" and not prepared.request.recipe.load_in_4bit:
        ways.append("set load_in_4bit: true")
    return f"Close what else uses the memory, or: {'; '.join([*ways, 'lower max_length', 'take a smaller base'])}."


def _tokenizer_bytes(prepared: Prepared) -> int:
    return sum(path.stat().st_size for path in prepared.base.folder.glob("tokenizer*"))
