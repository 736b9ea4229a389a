"""The run's curves as TensorBoard events, beside metrics.jsonl: `tensorboard --logdir lora_adapters`.

TensorBoard is an extra of this package; its own library writes the events, so that what is written is what it reads. A
resumed run writes its events anew from the metrics that count, at the times they were made: steps done twice would else be
drawn twice.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"
INSTALL = 'pip install -c constraints.txt -e "training[tensorboard]"'
FLUSH_SECONDS = 10
CURVES = {
    "loss/train": "loss",
    "loss/held_out": "eval_loss",
    "learning_rate": "learning_rate",
    "gradient_norm": "grad_norm",
    "tokens_per_second": "tokens_per_second",
    "epoch": "epoch",
}


def tensorboard_installed() -> bool:
    """Whether events can be written here."""
    return importlib.util.find_spec("tensorboard") is not None


class TensorboardEvents:
    """Writes metrics lines as events into `<run folder>/tensorboard`."""

    def __init__(self, run_folder: Path, kept: Iterable[Mapping[str, Any]]) -> None:
        """Begin with the metrics lines that count so far; what was there before is dropped."""
        from torch.utils.tensorboard import SummaryWriter

        folder = run_folder / FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        self._writer: Any = SummaryWriter(str(folder), flush_secs=FLUSH_SECONDS)
        for line in kept:
            self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        """A metrics line, as `RunFolder.add` returns it."""
        moment = datetime.fromisoformat(line["time"]).timestamp()
        for curve, name in CURVES.items():
            if line[name] is not None:
                self._writer.add_scalar(curve, line[name], line["step"], walltime=moment)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
