"""K-quants need llama.cpp: what is said without it, what is asked of it, and (opt-in) what it answers."""

from __future__ import annotations

import importlib.util
import shutil
import stat
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from persona_training.gguf_export.architecture import GgufError
from persona_training.gguf_export.k_quants import PROGRAM, KQuant, require_quantiser, storage_of, write_model
from persona_training.gguf_export.quantisation import Quantisation
from transformers import AutoModelForCausalLM

# Two programs of one line each: one writes what it was asked for under the name of the kind, one fails as llama-quantize does.
OBEYS = '#!/bin/sh\ncp "$1" "$2" && echo "$3" > "$(dirname "$0")/asked"\n'
FAILS = '#!/bin/sh\necho "llama_model_quantize: failed to quantize: unknown model" >&2\nexit 1\n'


@pytest.fixture
def no_quantiser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without llama.cpp, and the one folder of its PATH where it could be."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "llama_cpp" else found(name, *rest)
    )
    return folder


def install(folder: Path, program: str) -> None:
    path = folder / PROGRAM
    path.write_text(program, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_without_a_quantiser_the_message_says_what_to_do(
    no_quantiser: Path, merged_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(GgufError, match=r"Q4_K_M is written by llama.cpp's quantiser.*--quantize Q8_0"):
        write_model(merged_model, tmp_path / "m.gguf", name="m", storage=KQuant.Q4_K_M)
    assert list(tmp_path.iterdir()) == [no_quantiser]
    assert require_quantiser(Quantisation.Q8_0) == ""


def test_the_program_is_given_sixteen_bits_and_the_kind(no_quantiser: Path, merged_model: Path, tmp_path: Path) -> None:
    install(no_quantiser, OBEYS)
    written = write_model(merged_model, tmp_path / "out" / "m.gguf", name="m", storage=KQuant.Q5_K_M)
    assert (no_quantiser / "asked").read_text(encoding="utf-8") == "Q5_K_M\n"
    assert written.tensors == {"F16": 15, "F32": 5}  # what this program makes of the F16 file it was given: a copy
    assert written.size == written.path.stat().st_size
    assert [path.name for path in written.path.parent.iterdir()] == ["m.gguf"]
    assert written.eos_token == "<|im_end|>"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (FAILS, "exit code 1.*failed to quantize: unknown model"),
        ("#!/bin/sh\nexit 0\n", "wrote nothing"),
        ("#!/nowhere\n", "could not be run"),
    ],
)
def test_a_failing_program_leaves_nothing(
    program: str, message: str, no_quantiser: Path, merged_model: Path, tmp_path: Path
) -> None:
    install(no_quantiser, program)
    with pytest.raises(GgufError, match=message):
        write_model(merged_model, tmp_path / "out" / "m.gguf", name="m", storage=KQuant.Q4_K_M)
    assert list((tmp_path / "out").iterdir()) == []


def test_names_are_read_in_any_case() -> None:
    assert storage_of("q4_k_m") is KQuant.Q4_K_M
    assert storage_of("f16") is Quantisation.F16


@pytest.mark.opt_in
def test_a_real_quantiser_keeps_the_answers(merged_model: Path, tmp_path: Path, save_random_model: object) -> None:
    if shutil.which(PROGRAM) is None and importlib.util.find_spec("llama_cpp") is None:
        pytest.skip(f"needs llama.cpp's quantiser: {PROGRAM} on the PATH, or the package llama-cpp-python")
    assert callable(save_random_model)
    folder = save_random_model(tmp_path / "wide", hidden_size=256, intermediate_size=512, head_dim=64)
    written = write_model(folder, folder / "m.gguf", name="m", storage=KQuant.Q6_K)
    assert "Q6_K" in written.tensors
    stored = next(tensor for tensor in gguf.GGUFReader(written.path).tensors if tensor.name == "blk.0.ffn_up.weight")
    weight = AutoModelForCausalLM.from_pretrained(folder).state_dict()["model.layers.0.mlp.up_proj.weight"]
    read = gguf.quants.dequantize(stored.data, stored.tensor_type).reshape(tuple(weight.shape))
    assert np.abs(read - weight.to(torch.float32).numpy()).max() < 0.005
