"""The voices of an adapter or a join: all of them speak in this process, on one base."""

from __future__ import annotations

from pathlib import Path

from persona_training.adapters import Manifest, check_base, finished_adapter, read_adapter
from persona_training.bases import BaseModel, find_base
from persona_training.display import Display
from persona_training.errors import AdapterError
from persona_training.evaluation.cast import Cast, Voice, Weights, lessons, named_after, weights_of, without_echoes
from persona_training.evaluation.joins import find_join
from persona_training.evaluation.pins import golden_folder
from persona_training.evaluation.request import NONE, Request
from persona_training.evaluation.results import VoiceName
from persona_training.evaluation.service import MemoryService
from persona_training.evaluation.subjects import Subject, default_baseline, find_adapter
from persona_training.evaluation.system_prompt import choose_system_prompt, trained_without
from persona_training.settings import Settings


def cast_of_adapters(
    request: Request, subject: Subject, settings: Settings, service: MemoryService, display: Display
) -> Cast:
    """Candidate, reference, golden version and bare base, from folders.

    Raises:
        PersonaTrainingError: one of them cannot be used; the message says which.
    """
    folder, manifest = _candidate(subject, settings)
    base = _base(subject, request, settings, display)
    display.fact("floor", f"{base.name}, the base model without any adapter")
    omit = trained_without(manifest)
    reference, why = _reference(request, subject, settings)
    display.fact("reference", f"{reference.name if reference else 'none'}: {why}")
    golden, why = golden_of(request, settings)
    display.fact("golden", f"{golden.name if golden else 'none'}: {why}")
    datasets = lessons(subject, settings, display)
    prompt = choose_system_prompt(service, manifest, datasets, request.system_prompt)
    display.fact("system prompt", prompt.origin)
    found: dict[VoiceName, Weights] = {"candidate": weights_of(folder, base, omit_system=omit)}
    if reference is not None:
        found["reference"] = weights_of(reference, base, omit_system=omit)
    if golden is not None:
        found["golden"] = weights_of(golden, base, omit_system=omit)
    found["floor"] = Weights(base.name, base, omit_system=omit)
    voices = {
        name: Voice(named_after(weights), {"in": "process", **weights.identity()}, weights=weights)
        for name, weights in found.items()
    }
    kept = without_echoes(voices, display, baseline=request.baseline)
    return Cast(subject, kept, base.name, prompt, prompt.text, datasets)


def golden_of(request: Request, settings: Settings) -> tuple[Path | None, str]:
    """The folder of the golden version asked for, or of the pinned one, and why it is that.

    Raises:
        AdapterError: it is not here, or not what was pinned.
    """
    if request.golden is None:
        return golden_folder(settings.adapters_dir)
    if request.golden == NONE:
        return None, "as asked"
    return folder_of(request.golden, settings), "as asked"


def folder_of(name: str, settings: Settings) -> Path:
    """An adapter or join to compare with.

    Raises:
        AdapterError: there is none of that name.
    """
    folder = find_adapter(name, settings.adapters_dir) or find_join(name, settings.adapters_dir)
    if folder is None:
        raise AdapterError(f"No adapter {name!r} in {settings.adapters_dir} to compare with.")
    return folder


def _candidate(subject: Subject, settings: Settings) -> tuple[Path, Manifest | None]:
    """The folder, and the manifest whose recipe says how she is told who she is; for a join that of its lowest layer."""
    if subject.folder is None:
        raise AdapterError(f"{subject.name} is not an adapter, so it cannot reply in this process.")
    if subject.join is None:
        return subject.folder, finished_adapter(subject.folder)
    lowest = settings.adapters_dir / subject.join.layers[0]["adapter_id"]
    return subject.folder, read_adapter(lowest) if (lowest / "manifest.json").is_file() else None


def _reference(request: Request, subject: Subject, settings: Settings) -> tuple[Path | None, str]:
    if request.baseline is None:
        return default_baseline(subject, settings.adapters_dir)
    if request.baseline == NONE:
        return None, "as asked: it must rise above the base model"
    return folder_of(request.baseline, settings), "as asked"


def _base(subject: Subject, request: Request, settings: Settings, display: Display) -> BaseModel:
    pinned = subject.join.base_model if subject.join is not None else (subject.manifest or {})["base_model"]
    with display.building_base() as progress:
        base = find_base(request.floor or pinned["name"], settings.data_dir, progress)
    check_base({"adapter_id": subject.name, "base_model": pinned}, base.sha256)
    return base
