"""Ten real steps on this machine's device with a small random model: does training work here, resume included?

The model has about the tiny base's size and no pre-training, so nothing has to be built or downloaded. The run is the one every
layer takes, queue and checks included. Then its second half is done again from the checkpoint in the middle, as after a
kill, and the two results are compared.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import time
from io import StringIO
from pathlib import Path

from rich.console import Console

from persona_training.adapters import WEIGHTS_FILE, read_adapter, write_json
from persona_training.config import Lora, Recipe, Steps
from persona_training.device_queue import find_devices, holder_of
from persona_training.display import Display
from persona_training.errors import PersonaTrainingError
from persona_training.findings import Check
from persona_training.hardware import choose_hardware
from persona_training.preparation import Request
from persona_training.settings import Settings

STEPS, HALF = 10, 5
ROWS = 100
# bfloat16 keeps 8 bits of a weight; beyond it the second half did not start where the first ended.
ALIKE_ON_GPU = 2e-2


def random_base(folder: Path) -> Path:
    """A chat model of about the tiny base's size with random weights, and its tokenizer; about a CPU second."""
    import torch

    from persona_training.models import without_shard_bars
    from persona_training.tiny import tokenizer
    from persona_training.tiny.build import TinyRecipe, blank_model
    from persona_training.tiny.grammar import exchanges

    shape = {"layers": 2, "hidden": 192, "feed_forward": 512, "heads": 6, "kv_heads": 2, "context": 512}
    recipe = TinyRecipe(vocabulary=512, **shape)
    without_shard_bars()
    chat = tokenizer.learn_tokenizer(exchanges(recipe.seed, 500), recipe.vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        blank_model(recipe, chat).save_pretrained(folder)
    chat.save_pretrained(folder)
    return folder


def smoke_rows(path: Path) -> Path:
    """The grammar's neutral exchanges as training rows; each is a session of its own."""
    from persona_training.tiny.grammar import exchanges

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for number, conversation in enumerate(exchanges(11, ROWS)):
            row = {"messages": conversation, "metadata": {"session_id": f"s{number}"}}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def smoke_recipe(base: Path) -> Recipe:
    """Ten steps with a checkpoint after the fifth."""
    return Recipe(
        name="smoke/personality",
        layer=1,
        base_model=str(base),
        lora=Lora(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=("q_proj", "v_proj", "down_proj")),
        steps=Steps(batch_size=8, learning_rate=0.002, max_steps=STEPS, save_every=HALF),
        max_length=256,
        threads=1,
    )


def check_smoke(settings: Settings, display: Display) -> Check:
    """Train, resume from the middle, compare; what went wrong is the finding.

    Args:
        settings: `data_dir` names the queue this run stands in; nothing is kept of what it writes.
        display: told while the device is another run's.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="casiopy-smoke-") as scratch:
            return _smoke(Path(scratch), settings, display)
    except PersonaTrainingError as error:
        return Check("ten steps", "fail", error.message, "Mend this first; every training run would stop at it too.")


def _smoke(scratch: Path, settings: Settings, display: Display) -> Check:
    from persona_training.training_run import resume, train

    own = dataclasses.replace(settings, exports_dir=scratch / "exports", adapters_dir=scratch / "adapters")
    request = Request(smoke_recipe(random_base(scratch / "base")), [str(smoke_rows(scratch / "rows.jsonl"))])
    silent = Display(Console(file=StringIO()))
    hardware = choose_hardware()
    display.fact("ten steps", f"with a small random model. {hardware.reason}")
    if (held := holder_of(find_devices(hardware.device, settings.data_dir))) is not None:
        holder, device = held
        display.fact("queued", holder.sentence(device.name))
    began = time.monotonic()
    result = train(request, own, silent)
    whole = shutil.copy(result.folder / WEIGHTS_FILE, scratch / "whole.safetensors")
    figures = result.manifest["result"]
    seconds = time.monotonic() - began
    _cut_in_half(result.folder)
    resume(result.manifest["adapter_id"], own, silent)
    apart = _difference(Path(whole), result.folder / WEIGHTS_FILE)
    found = (
        f"{STEPS} steps in {figures['seconds']:.1f} s ({seconds:.1f} s with loading), {figures['tokens_per_second']:.0f} "
        f"tokens/s on {hardware.device.type}; loss {figures['train_loss']:.2f}; resumed after step {HALF}: "
    )
    if apart == 0:
        return Check("ten steps", "ok", found + "the same weights to the last bit")
    if hardware.device.type == "cuda" and apart <= ALIKE_ON_GPU:
        return Check("ten steps", "ok", f"{found}weights differ by {apart:.1e} at most, as GPUs do")
    remedy = "A resumed run would learn something else. Reinstall: pip install -c constraints.txt -e . -e training"
    return Check("ten steps", "fail", f"{found}weights differ by {apart:.1e}", remedy)


def _cut_in_half(folder: Path) -> None:
    """Leave what a kill after the checkpoint in the middle would have left."""
    shutil.rmtree(folder / "checkpoints" / f"checkpoint-{STEPS}", ignore_errors=True)
    (folder / WEIGHTS_FILE).unlink()
    write_json(folder / "manifest.json", {**read_adapter(folder), "status": "interrupted"})


def _difference(one: Path, other: Path) -> float:
    """The largest difference of any weight."""
    from safetensors.torch import load_file

    before, after = load_file(one), load_file(other)
    return max(float((before[name].float() - after[name].float()).abs().max()) for name in before)
