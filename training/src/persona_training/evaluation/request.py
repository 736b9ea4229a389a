"""What the operator asked the gate for, and what the gate asks of Ollama."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from persona_training.evaluation.battery import SHIPPED
from persona_training.evaluation.subjects import Backend
from persona_training.generation import Replier

SMOKE_PROMPTS, SMOKE_SAMPLES = 20, 4
NONE = "none"


@dataclass(frozen=True)
class Request:
    """See the command's options.

    Attributes:
        model: adapter id or folder, join, or tag.
        battery: name of a shipped battery, or a .yaml file.
        weekly: a .yaml file that adds this week's probes to the battery.
        baseline: what the reference is; None to choose, "none" for no reference.
        golden: what the golden version is; None for the pinned one, "none" for none.
        floor: the base.
        samples: replies per probe at most; early stop may need fewer.
        prompts: this many probes only.
        dialogue_samples: how often every dialogue is held at most; None for as often as probes are asked, 0 for none.
        smoke: 20 probes x 4, no dialogues, no losses.
        early_stop: look after every round and stop once the verdict is final.
        redraw: use nothing that was kept from an earlier gate.
    """

    model: str
    battery: str = SHIPPED
    weekly: Path | None = None
    baseline: str | None = None
    golden: str | None = None
    floor: str | None = None
    samples: int = 4
    prompts: int | None = None
    dialogue_samples: int | None = None
    smoke: bool = False
    early_stop: bool = True
    redraw: bool = False
    seed: int = 7
    backend: Backend | None = None
    system_prompt: Path | None = None
    save_report: bool = False
    output_dir: Path | None = None

    @property
    def probes(self) -> int | None:
        """How many probes are asked; None for all."""
        return SMOKE_PROMPTS if self.smoke and self.prompts is None else self.prompts

    @property
    def dialogues(self) -> int:
        """How often every dialogue is held at most."""
        if self.smoke:
            return 0
        return self.samples if self.dialogue_samples is None else self.dialogue_samples


class Tags(Protocol):
    """What the gate needs to know about Ollama."""

    def serves(self, tag: str) -> bool:
        """Is Ollama reachable and does it know this tag?"""
        ...

    def digest_of(self, tag: str) -> str | None:
        """The hash of everything a tag is made of, or None."""
        ...

    def adapter_of(self, tag: str) -> str | None:
        """The adapter a tag was deployed from, or None."""
        ...

    def live_tag(self, besides: str) -> str | None:
        """The tag that is live now, unless it is the same model as `besides`."""
        ...

    def system_of(self, tag: str) -> str:
        """The system prompt inside a tag; empty when it has none."""
        ...

    def replier(self, tag: str) -> Replier:
        """The voice of a tag."""
        ...
