"""The voices of one comparison: who they are, how they are made to speak, and where their weights lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from persona_training.adapters import adapter_chain, check_base, finished_adapter, read_adapter
from persona_training.bases import BaseModel
from persona_training.datasets import Dataset
from persona_training.display import Display
from persona_training.errors import AdapterError
from persona_training.evaluation.joins import find_join, read_join
from persona_training.evaluation.report import Named
from persona_training.evaluation.results import VoiceName
from persona_training.evaluation.subjects import Subject
from persona_training.evaluation.system_prompt import SystemPrompt, datasets_of
from persona_training.generation import Replier
from persona_training.settings import Settings


@dataclass(frozen=True)
class Weights:
    """Weights on this machine.

    Attributes:
        name: as reports call the voice.
        base: the model below.
        adapters: stacked on it, lowest first; none for the bare base.
        sha256s: of the adapters' weights, in that order.
        omit_system: see a recipe's `system_prompt` knob.
    """

    name: str
    base: BaseModel
    adapters: tuple[Path, ...] = ()
    sha256s: tuple[str, ...] = ()
    omit_system: bool = False

    @property
    def bytes(self) -> int:
        """Size of the base's files: what loading it costs."""
        return sum(path.stat().st_size for path in self.base.folder.glob("*.safetensors"))

    def identity(self) -> dict[str, Any]:
        """What replies drawn from these weights in this process depend on, beside the software."""
        return {"base": self.base.sha256, "adapters": list(self.sha256s), "omit_system": self.omit_system}


@dataclass(frozen=True)
class Voice:
    """One voice.

    Attributes:
        named: as the report names it.
        identity: what its words depend on beside the conversation and the software.
        speak: gives the served voice; None for one that speaks from `weights` in this process.
        weights: where its losses are taken; None where they do not lie here.
        no_losses: why not.
        lasting: does `identity` hold hashes of the weights? What is kept of a voice known by name only is forgotten after use.
    """

    named: Named
    identity: Mapping[str, Any]
    speak: Callable[[], Replier] | None = None
    weights: Weights | None = None
    no_losses: str = ""
    lasting: bool = True


@dataclass(frozen=True)
class Cast:
    """Everybody, and what is known about them.

    Attributes:
        subject: who is judged.
        voices: at least the candidate.
        floor_name: the base, or what stands in for it.
        prompt: the system prompt of the candidate.
        told: that prompt where the voices have to be told; empty where they carry their own.
        datasets: what the candidate learned from, as far as it lies here.
    """

    subject: Subject
    voices: Mapping[VoiceName, Voice]
    floor_name: str
    prompt: SystemPrompt
    told: str
    datasets: Sequence[Dataset] = field(default_factory=tuple)


def weights_of(folder: Path, base: BaseModel, *, omit_system: bool) -> Weights:
    """An adapter with the layers below it, or a join, on a base.

    Raises:
        AdapterError: unfinished, changed, without its parents, or trained on another base.
    """
    if find_join(str(folder), folder.parent) is not None:
        join = read_join(folder)
        check_base({"adapter_id": folder.name, "base_model": join.base_model}, base.sha256)
        return Weights(folder.name, base, (folder,), (join.weights_sha256,), omit_system)
    chain = adapter_chain(folder)
    manifests = [finished_adapter(layer) for layer in chain]
    for manifest in manifests:
        check_base(manifest, base.sha256)
    hashes = tuple(str(manifest["weights"]["sha256"]) for manifest in manifests)
    return Weights(folder.name, base, tuple(chain), hashes, omit_system)


def named_after(weights: Weights) -> Named:
    """An adapter, a join or the bare base as the report names it."""
    if not weights.adapters:
        return Named(weights.name, None, weights.base.sha256)
    top = weights.adapters[-1]
    adapter_id = str(read_adapter(top)["adapter_id"]) if (top / "manifest.json").is_file() else None
    return Named(weights.name, adapter_id, weights.sha256s[-1])


def lessons(subject: Subject, settings: Settings, display: Display) -> list[Dataset]:
    """The datasets that the subject's layers learned from; those that are not here are named."""
    if subject.join is not None:
        folders = [settings.adapters_dir / layer["adapter_id"] for layer in subject.join.layers]
        manifests = [read_adapter(folder) for folder in folders if (folder / "manifest.json").is_file()]
        for folder in folders:
            if not (folder / "manifest.json").is_file():
                display.fact("note", f"{folder.name} is not here, so its training replies are not compared.")
    else:
        manifests = [read_adapter(folder) for folder in adapter_chain(subject.folder)] if subject.folder else []
    datasets, missing = datasets_of(manifests, settings.exports_dir)
    for note in missing:
        display.fact("note", note)
    return datasets


def without_echoes(
    voices: Mapping[VoiceName, Voice], display: Display, *, baseline: str | None
) -> dict[VoiceName, Voice]:
    """Leave out who would say nothing new: a reference that is the candidate itself, a golden version that is either.

    Whoever is compared with herself passes whatever she says, so she then has to rise above the floor.

    Args:
        voices: everybody who was found.
        display: who is left out is shown there.
        baseline: what the operator asked to compare with, or None.

    Raises:
        AdapterError: the operator asked for a comparison of the candidate with her own weights.
    """
    kept = dict(voices)
    candidate, reference, golden = kept["candidate"], kept.get("reference"), kept.get("golden")
    if reference is not None and _same(reference, candidate):
        if baseline is not None:
            raise AdapterError(
                f"--baseline {baseline} has the candidate's own weights, so a comparison would prove nothing. Name another "
                "version, or 'none' to compare with the base alone."
            )
        display.fact("reference", f"not compared with: {reference.named.name} has the candidate's own weights")
        del kept["reference"]
    for other in ("candidate", "reference"):
        if golden is not None and other in kept and _same(golden, kept[other]):
            display.fact("golden", f"not heard a second time: {golden.named.name} is the {other} itself")
            del kept["golden"]
            break
    return kept


def _same(one: Voice, other: Voice) -> bool:
    """Equal where they speak, or, whatever they are called and however they are quantised, by the hash of their weights."""
    own = one.named.weights_sha256
    return one.identity == other.identity or (own is not None and own == other.named.weights_sha256)


def her_replies(datasets: Sequence[Dataset]) -> list[str]:
    """The character's replies in the training splits, each once, in order."""
    texts = (
        message["content"]
        for dataset in datasets
        for row in dataset.train
        for message in row.messages
        if message["role"] == "assistant"
    )
    return list(dict.fromkeys(texts))
