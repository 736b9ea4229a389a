"""How fast a LoRA trains and how much memory it takes: Casiopy's backends beside a plain loop, TRL and Unsloth's own recipe.

What it does: makes models of real shapes with random weights (nothing is fetched), trains a bf16 LoRA (r 16, every linear
layer) and one on a 4-bit base over the same random conversations, each way in a process of its own, and times the steps
after the warm-up. Then it checks on the same device that a resumed run ends in the same weights, that joined layers say what
stacked ones say, and that a GGUF file says what its model says. Ways whose libraries are not there are named and left out.

How to run it:         python benchmarks/training_gpu.py                   on a machine with a CUDA GPU, about 25 minutes
How to run it small:   python benchmarks/training_gpu.py                   elsewhere: tiny shapes, under three minutes
                       ... --shapes tiny --steps 8
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from service_under_test import hardware
from training_ways.work import SHAPES, Work

RESULTS = Path(__file__).parent / "results"
SPEED = ("plain loop", "ours, hf", "ours, unsloth", "TRL", "Unsloth's recipe")
CHECKS = ("overhead", "resume", "join", "GGUF")
NEEDS = {
    "ours, unsloth": ("unsloth",),
    "TRL": ("trl", "datasets"),
    "Unsloth's recipe": ("unsloth", "trl", "datasets"),
    "GGUF": ("gguf",),
}
# What the product promises of an 8B model in bf16 on an H200; the ratios hold on any GPU.
TARGETS = {
    "tokens_per_second": 12_500,
    "times_plain": 2.0,
    "times_unsloth": 1.0,
    "memory_of_unsloth": 1.0,
    "overhead": 0.02,
}
# One way on an 8B model: loading, warm-up (Unsloth compiles for minutes) and 30 steps.
GIVE_UP_AFTER_SECONDS = 900


def work_for(asked: argparse.Namespace, shape: str, model: Path) -> Work:
    """The work on this machine: full-size on a GPU, small enough for a CPU elsewhere."""
    gpu = asked.device == "cuda"
    return Work(
        shape=shape,
        model=str(model),
        device=asked.device,
        dtype="bfloat16" if gpu else "float32",
        four_bit=False,
        data="full",
        length=asked.length or (2048 if gpu else 128),
        batch_size=asked.batch_size or (4 if gpu else 2),
        warmup=asked.warmup,
        steps=asked.steps,
    )


def measure(way: str, work: Work) -> dict[str, Any]:
    """One way in a process of its own; what stands in the way is the result then."""
    missing = [name for name in NEEDS.get(way, ()) if importlib.util.find_spec(name) is None]
    if work.four_bit and importlib.util.find_spec("bitsandbytes") is None:
        missing.append("bitsandbytes")
    if missing:
        return {"left_out": f"not installed: {', '.join(missing)}"}
    with tempfile.TemporaryDirectory(prefix="casiopy-training-") as folder:
        return in_process(way, work, Path(folder) / "run")


def in_process(way: str, work: Work, folder: Path) -> dict[str, Any]:
    """Run `training_ways` and read its last line."""
    command = [sys.executable, "-m", "training_ways", way, work.dump(), str(folder)]
    threads = {"OMP_NUM_THREADS": "1"} if work.device == "cpu" else {}
    try:
        ended = subprocess.run(
            command,
            cwd=Path(__file__).parent,
            env=os.environ | threads,
            capture_output=True,
            text=True,
            timeout=GIVE_UP_AFTER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"left_out": f"took longer than {GIVE_UP_AFTER_SECONDS} s"}
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        return {"left_out": f"failed: {last[:300]}"}
    measured: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
    return measured


def of_shape(asked: argparse.Namespace, shape: str, folder: Path) -> dict[str, Any]:
    """Every way on one shape: bf16 and 4-bit, full rows and short ones, and what must be equal."""
    base = work_for(asked, shape, folder / shape)
    built = in_process("build", base, folder)
    if "left_out" in built:
        raise SystemExit(f"The model {shape} cannot be made: {built['left_out']}")
    found: dict[str, Any] = {}
    for four_bit in (False, True) if asked.device == "cuda" else (False,):
        for data in ("full", "short"):
            title = f"{'4-bit' if four_bit else base.dtype}, {data} rows"
            found[title] = {}
            for way in asked.ways:
                found[title][way] = measure(way, replace(base, four_bit=four_bit, data=data))
                print_line(shape, title, way, found[title])
    found["checks"] = {way: measure(way, replace(base, warmup=2, steps=4)) for way in CHECKS}
    for way, result in found["checks"].items():
        print(f"{shape:14} {way}: {shown(result)}", flush=True)
    return found


def print_line(shape: str, title: str, way: str, rows: dict[str, Any]) -> None:
    """One line of the table, as soon as it is known."""
    result = rows[way]
    if "left_out" in result:
        print(f"{shape:14} {title:22} {way:18} left out: {result['left_out']}", flush=True)
        return
    plain = rows.get("plain loop", {}).get("tokens_per_second")
    times = f"{result['tokens_per_second'] / plain:6.2f} ×" if plain else ""
    print(
        f"{shape:14} {title:22} {way:18} {result['tokens_per_second']:>10.0f} tokens/s {times:>9} "
        f"{result['peak_memory_gib']:>8.2f} GiB",
        flush=True,
    )


def shown(result: dict[str, Any]) -> str:
    """A check's result in words."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in result.items())


def ratios(found: dict[str, Any]) -> dict[str, Any]:
    """What the targets ask for, per shape and kind of work."""
    made: dict[str, Any] = {}
    for title, rows in found.items():
        ours = best_of_ours(rows) if title != "checks" else None
        if ours is None:
            continue
        plain, unsloth = rows.get("plain loop", {}), rows.get("Unsloth's recipe", {})
        made[title] = {
            "tokens_per_second": ours["tokens_per_second"],
            "times_plain": _ratio(ours, plain, "tokens_per_second"),
            "times_unsloth": _ratio(ours, unsloth, "tokens_per_second"),
            "memory_of_unsloth": _ratio(ours, unsloth, "peak_memory_gib"),
            "overhead": found["checks"]["overhead"].get("overhead"),
        }
    return made


def best_of_ours(rows: dict[str, Any]) -> dict[str, Any] | None:
    """The faster of our backends."""
    measured = [rows[way] for way in ("ours, hf", "ours, unsloth") if "tokens_per_second" in rows.get(way, {})]
    return max(measured, key=lambda result: result["tokens_per_second"], default=None)


def _ratio(ours: dict[str, Any], other: dict[str, Any], name: str) -> float | None:
    return round(ours[name] / other[name], 3) if name in other else None


def options() -> argparse.Namespace:
    """The command line, with this machine's defaults."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shapes", nargs="+", choices=SHAPES, default=["qwen3-4b", "llama-3.1-8b"] if gpu else ["tiny"]
    )
    parser.add_argument("--ways", nargs="+", choices=SPEED, default=list(SPEED))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if gpu else "cpu")
    parser.add_argument("--length", type=int, help="tokens of a full row; default 2048 on a GPU, 128 elsewhere")
    parser.add_argument("--batch-size", type=int, help="full rows a step; default 4 on a GPU, 2 elsewhere")
    parser.add_argument("--warmup", type=int, default=20 if gpu else 4, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=30 if gpu else 12, help="steps that are timed")
    parser.add_argument("--no-save", action="store_true", help="print only")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and keep the result."""
    asked = options()
    kept = {"date": datetime.now(UTC).isoformat(timespec="seconds")} | hardware() | {"benchmark": "training_gpu"}
    kept["gpu"] = torch.cuda.get_device_name(0) if asked.device == "cuda" else None
    print(
        f"On {kept['gpu'] or 'the CPU, with tiny shapes: ratios say something, tokens per second do not'}.", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="casiopy-models-") as folder:
        kept["shapes"] = {shape: of_shape(asked, shape, Path(folder)) for shape in asked.shapes}
    kept["ratios"] = {shape: ratios(found) for shape, found in kept["shapes"].items()}
    kept["targets"] = TARGETS
    if not asked.no_save:
        target = RESULTS / f"{kept['date'][:10]}-training-{kept['commit']}.json"
        target.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({"benchmark": "training_gpu", "gpu": kept["gpu"], "ratios": kept["ratios"], "targets": TARGETS}))


if __name__ == "__main__":
    main()
