"""Measure one way in this process: `python -m training_ways WAY WORK FOLDER`; the last line is the result as JSON."""

import importlib
import json
import os
import sys
from functools import partial
from pathlib import Path

from training_ways.work import Work, build_model

# Which module measures a way, and how.
WAYS = {
    "ours, hf": ("ours", "train", {"backend": "hf"}),
    "ours, unsloth": ("ours", "train", {"backend": "unsloth"}),
    "plain loop": ("plain", "train", {}),
    "TRL": ("trl_way", "train", {}),
    "Unsloth's recipe": ("trl_way", "train_unsloth", {}),
    "overhead": ("ours", "overhead", {}),
    "resume": ("exactness", "resume", {}),
    "join": ("exactness", "join", {}),
    "GGUF": ("exactness", "gguf", {}),
}


def main() -> None:
    """Nothing is fetched: hubs are switched off before the first import of a library that knows one."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "UNSLOTH_DISABLE_STATISTICS": "1", "WANDB_DISABLED": "true"}
    way, work, folder = sys.argv[1], Work(**json.loads(sys.argv[2])), Path(sys.argv[3])
    if way == "build":
        build_model(work.shape, Path(work.model), work.device, work.dtype)
        print(json.dumps({"built": work.shape}))
        return
    if "nsloth" in way:
        import unsloth  # noqa: F401  (patches the other libraries, so it must come first)
    module, name, given = WAYS[way]
    measure = partial(getattr(importlib.import_module(f"training_ways.{module}"), name), **given)
    print(json.dumps(measure(work, folder)), flush=True)


if __name__ == "__main__":
    main()
