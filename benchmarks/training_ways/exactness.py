"""What must be equal, on this device: a resumed run and a whole one, joined layers and stacked ones, a file and its model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from persona_training.adapters import WEIGHTS_FILE, write_json
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.gguf_export.writing import write_gguf
from persona_training.hashing import sha256_file
from persona_training.joining import join_adapters
from persona_training.models import load_base, on_device
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from training_ways import ours
from training_ways.work import Work, build_model


def resume(work: Work, folder: Path) -> dict[str, Any]:
    """Largest difference between the weights of a run that was stopped half-way and resumed, and of one that was not."""
    from persona_training.backends.checkpoints import latest_checkpoint

    whole, stopped = folder / "whole", folder / "stopped"
    ours.run(work, whole)
    ours.run(work, stopped, stop_at=(work.warmup + work.steps) // 2)
    ours.run(work, stopped, checkpoint=latest_checkpoint(stopped))
    left, right = (load_file(place / "adapter_model.safetensors") for place in (whole, stopped))
    return {"largest_difference": max(float((left[name] - right[name]).abs().max()) for name in left)}


def join(work: Work, folder: Path) -> dict[str, Any]:
    """Largest differences in logits between two layers joined into one adapter and the same two live one beside the other.

    Two layers of the model are enough to tell; the widths are the real ones, the numbers those of the work.
    """
    base = folder / "base"
    build_model(work.shape, base, work.device, work.dtype, layers=2)
    short = replace(work, model=str(base))
    layers = [folder / "one", folder / "two"]
    for number, layer in enumerate(layers):
        ours.run(replace(short, seed=number), layer)
        _pin(layer, number + 1, layers[0] if number else None)
    joined = join_adapters(layers[1], folder / "joined")
    device, dtype = torch.device(work.device), getattr(torch, work.dtype)
    ids = torch.arange(3, 3 + 64, device=device)[None]
    stacked = on_device(PeftModel.from_pretrained(load_base(base, dtype), layers[0], "one"), device)
    stacked.load_adapter(layers[1], "two")
    stacked.base_model.set_adapter(["one", "two"])
    single = on_device(PeftModel.from_pretrained(load_base(base, dtype), joined), device)
    with torch.no_grad():
        wanted, found, bare = stacked(ids).logits, single(ids).logits, load_base(base, dtype).to(device)(ids).logits
    return {
        "largest_difference": float((wanted - found).abs().max()),
        "difference_the_layers_make": float((wanted - bare).abs().max()),
    }


def _pin(layer: Path, number: int, parent: Path | None) -> None:
    """The part of a manifest that joining asks for."""

    def pinned(folder: Path) -> str:
        return sha256_file(folder / WEIGHTS_FILE)

    write_json(
        layer / "manifest.json",
        {
            "schema": "casiopy/adapter-v1",
            "adapter_id": layer.name,
            "layer": number,
            "status": "finished",
            "base_model": {"name": "random", "sha256": "0" * 64},
            "parent": {"adapter_id": parent.name, "weights_sha256": pinned(parent)} if parent else None,
            "weights": {"file": WEIGHTS_FILE, "sha256": pinned(layer)},
        },
    )


def gguf(work: Work, folder: Path) -> dict[str, Any]:
    """Largest difference in logits between a model and the model read back from the GGUF file written of it, both in float32.

    The model has the real widths and two layers: a file of all layers says nothing more and takes 30 GB.
    """
    build_model(work.shape, folder, work.device, "float32", layers=2)
    write_gguf(folder, folder / "model.gguf", name="benchmark", quantisation=Quantisation.F32)
    device = torch.device(work.device)
    ids = torch.arange(3, 3 + 64, device=device)[None]
    with torch.no_grad():
        wanted = on_device(load_base(folder, torch.float32), device)(ids).logits
        read = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32)
        found = on_device(read, device)(ids).logits
    return {"largest_difference": float((wanted - found).abs().max()), "largest_logit": float(wanted.abs().max())}
