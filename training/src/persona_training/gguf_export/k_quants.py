"""K-quants (Q4_K_M and its like): half of Q8_0's size, made by llama.cpp's own quantiser where it is at hand.

The `gguf` package writes F32, F16 and Q8_0; K-quants exist in llama.cpp only. Its program `llama-quantize` is taken from the
PATH, else the library inside the Python package llama-cpp-python. Nothing is fetched or built.
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import tempfile
from enum import StrEnum
from pathlib import Path

from persona_training.gguf_export.architecture import GgufError
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.gguf_export.writing import WrittenGguf, tensor_kinds, write_gguf

PROGRAM = "llama-quantize"
# An 8B model takes about three minutes on eight cores; a quantiser that says nothing for an hour is stuck.
QUANTISE_SECONDS = 3600


class KQuant(StrEnum):
    """Bits a weight, on average, of llama.cpp's mixtures: 4.9, 5.7 and 6.6."""

    Q4_K_M = "Q4_K_M"
    Q5_K_M = "Q5_K_M"
    Q6_K = "Q6_K"


Storage = Quantisation | KQuant


def storage_of(name: str) -> Storage:
    """`Q8_0`, `q4_k_m` … as one of the ways to store weights."""
    return KQuant(name.upper()) if name.upper() in list(KQuant) else Quantisation(name.upper())


def require_quantiser(storage: Storage) -> str:
    """What will make a file of this kind; "" where this package writes it alone.

    Raises:
        GgufError: it is a K-quant and no quantiser is at hand.
    """
    if not isinstance(storage, KQuant):
        return ""
    program = shutil.which(PROGRAM)
    if program is not None:
        return program
    if importlib.util.find_spec("llama_cpp") is not None:
        return "llama-cpp-python"
    raise GgufError(
        f"{storage} is written by llama.cpp's quantiser, and there is none: neither {PROGRAM} on the PATH nor the Python "
        "package llama-cpp-python. Install one of them, or use --quantize Q8_0, which needs nothing."
    )


def write_model(
    model_dir: Path, target: Path, *, name: str, storage: Storage, tokenizer_dir: Path | None = None
) -> WrittenGguf:
    """`write_gguf` for every way to store weights.

    Raises:
        GgufError: the model cannot be carried, or the quantiser is absent or failed.
    """
    if not isinstance(storage, KQuant):
        return write_gguf(model_dir, target, name=name, quantisation=storage, tokenizer_dir=tokenizer_dir)
    quantiser = require_quantiser(storage)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".quantising-", dir=target.parent) as folder:
        whole = write_gguf(
            model_dir,
            Path(folder) / "f16.gguf",
            name=name,
            quantisation=Quantisation.F16,
            tokenizer_dir=tokenizer_dir,
        )
        small = Path(folder) / target.name
        if quantiser == "llama-cpp-python":
            _with_library(whole.path, small, storage)
        else:
            _with_program(quantiser, whole.path, small, storage)
        if not small.is_file():
            raise GgufError(f"{quantiser} reported success and wrote nothing to {small}.")
        small.replace(target)
    return WrittenGguf(
        path=target,
        size=target.stat().st_size,
        tensors=tensor_kinds(target),
        chat_template=whole.chat_template,
        eos_token=whole.eos_token,
        context_length=whole.context_length,
    )


def _with_program(program: str, source: Path, target: Path, kind: KQuant) -> None:
    try:
        done = subprocess.run(
            [program, str(source), str(target), kind.value],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=QUANTISE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GgufError(f"{program} could not be run to its end: {error}") from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise GgufError(f"{program} failed (exit code {done.returncode}): {' / '.join(last) or 'no reason given'}")


def _with_library(source: Path, target: Path, kind: KQuant) -> None:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind.value}")
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
    if code != 0:
        raise GgufError(f"llama-cpp-python could not quantise {source.name} to {kind} (code {code}).")
