"""General replay: neutral exchanges in the base model's own words, so that a later layer does not unlearn the rest.

A weekly layer sees little but the character. Rehearsing what the base already says keeps its other abilities, and needs
no foreign dataset: the base answers the shipped prompts itself, greedily, once (after self-synthesised rehearsal, Huang et
al. 2024, arXiv 2403.01244; there the model invents the prompts too, here they are a file anybody can read).
"""

from __future__ import annotations

import gc
import json
import zlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import yaml

from persona_training.adapters import read_kept, write_json, write_text
from persona_training.bases import BaseModel
from persona_training.config import Recipe
from persona_training.datasets import Dataset, load_dataset
from persona_training.display import Display
from persona_training.errors import DatasetError, StorageError
from persona_training.generation import NoRoomError, Sampling, TransformersReplier, load_transformers_replier
from persona_training.hardware import choose_hardware
from persona_training.hashing import sha256_file, sha256_json
from persona_training.messages import Message
from persona_training.settings import Settings

# Most answers of an 8B chat model to such questions end within it; longer ones are cut after their last whole sentence.
SAMPLING = Sampling(temperature=0.0, max_new_tokens=160)
SENTENCE_ENDS = ".!?…»\n"
# Greedy decoding may fall into a loop, which nobody wants rehearsed. Text that zlib shrinks by more than this repeats itself;
# the threshold is Whisper's for the same failure (Radford et al. 2022, arXiv 2212.04356, section 4.5).
MOST_COMPRESSION = 2.4


def general_dataset(
    base: BaseModel, recipe: Recipe, given: Sequence[str], settings: Settings, display: Display
) -> Dataset | None:
    """The neutral rows of a run, or None where its recipe mixes none in.

    Args:
        given: `--general-dataset`; empty takes the base's own replies, from the data folder once they are there.

    Raises:
        DatasetError: the given file cannot be used or has no share in the run, or the base has no usable reply to any prompt.
    """
    if recipe.general_share == 0:
        if given:
            raise DatasetError(
                "--general-dataset is given, but nothing of it would be mixed in: add --general-share 0.05."
            )
        return None
    if given:
        dataset = load_dataset(given, settings.exports_dir, val_share=0.0)
        display.fact(
            "general", f"{recipe.general_share:.0%} of each epoch from {dataset.name}: given on the command line"
        )
        return dataset
    dataset, how = own_replies(base, recipe, settings.data_dir / "general")
    display.fact(
        "general",
        f"{recipe.general_share:.0%} of each epoch is the base's own replies to {len(dataset.train)} neutral prompts, so "
        f"that what is not the character is kept; {how} (no --general-dataset given)",
    )
    return dataset


def shipped_prompts() -> list[str]:
    """The neutral prompts in both languages, in the order of the file."""
    text = files("persona_training").joinpath("general_prompts.yaml").read_text(encoding="utf-8")
    prompts: dict[str, list[str]] = yaml.safe_load(text)
    return [prompt for language in prompts.values() for prompt in language]


def own_replies(base: BaseModel, recipe: Recipe, folder: Path) -> tuple[Dataset, str]:
    """The base's replies and how they were come by, made once per base and prompts and kept in `folder`."""
    prompts = shipped_prompts()
    sampling = {"temperature": SAMPLING.temperature, "max_new_tokens": SAMPLING.max_new_tokens}
    key = sha256_json({"base": base.sha256, "4bit": recipe.load_in_4bit, "prompts": prompts, "sampling": sampling})
    path = folder / f"general-{key[:12]}.jsonl"
    seal = path.with_suffix(".json")
    made_of = {"key": key, "base_sha256": base.sha256, "sampling": sampling}
    if path.is_file() and seal.is_file():
        if read_kept(seal) == {**made_of, "sha256": sha256_file(path)}:
            return _read(path), f"kept in {path}"
        how = f"made anew: {path.name} was changed since"
    else:
        how = "made now, once per base and prompts"
    _write(path, _answered(base, recipe, prompts))
    write_json(seal, {**made_of, "sha256": sha256_file(path)})
    return _read(path), how


def _answered(base: BaseModel, recipe: Recipe, prompts: Sequence[str]) -> list[tuple[str, str]]:
    import torch

    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    try:
        replier = _replier(base, recipe)
        replies = replier.reply([[Message(role="user", content=prompt)] for prompt in prompts], SAMPLING, seed=0)
    except (torch.OutOfMemoryError, NoRoomError) as error:
        raise DatasetError(
            "The GPU has no room for the base's own replies to neutral prompts. Wait until it is free, or give "
            "--general-dataset FILE, or --general-share 0."
        ) from error
    told = [(prompt, _whole(reply, replier)) for prompt, reply in zip(prompts, replies, strict=True)]
    # The training that follows needs the room.
    del replier
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return [(prompt, reply) for prompt, reply in told if reply and not repeats_itself(reply)]


def _replier(base: BaseModel, recipe: Recipe) -> TransformersReplier:
    """The base as the run will hold it: a card that trains in 4 bits has no room for 16."""
    if not recipe.load_in_4bit:
        return load_transformers_replier(base.folder, device=recipe.device)
    from persona_training.backends.lora import load_in_four_bits
    from persona_training.models import load_tokenizer

    hardware = choose_hardware(recipe.device, recipe.dtype)
    model = load_in_four_bits(base.folder, hardware)
    model.eval()  # type: ignore[no-untyped-call]
    return TransformersReplier(base.name, model, load_tokenizer(base.folder), hardware.device)


def repeats_itself(text: str) -> bool:
    """True for text caught in a loop."""
    written = text.encode()
    return len(written) / len(zlib.compress(written)) > MOST_COMPRESSION


def _whole(reply: str, replier: TransformersReplier) -> str:
    """The reply; one that ran into the length limit loses its unfinished sentence, so that no row teaches to break off."""
    tokens = replier.tokenizer(reply, add_special_tokens=False)["input_ids"]
    # Read back, a text may take far fewer tokens than it was written in: only one well below the limit surely ended by itself.
    if len(tokens) < SAMPLING.max_new_tokens // 2:
        return reply
    end = max(reply.rfind(mark) for mark in SENTENCE_ENDS)
    return reply[: end + 1].strip()


def _write(path: Path, told: Sequence[tuple[str, str]]) -> None:
    if not told:
        raise DatasetError(
            "The base model gave no usable reply to any neutral prompt. Give --general-dataset, or --general-share 0."
        )
    rows = (
        {
            "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}],
            "metadata": {"session_id": f"general-{number}"},
        }
        for number, (prompt, reply) in enumerate(told)
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}. Point CASIOPY_DATA elsewhere.") from error
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _read(path: Path) -> Dataset:
    """All rows to learn from, none held out: what is judged on held-out rows is the layer's own data."""
    return load_dataset([str(path)], path.parent, val_share=0.0)
