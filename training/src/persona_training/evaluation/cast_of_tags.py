"""The voices of an Ollama tag, or of a model of another server: heard the way her viewers hear her.

Losses need the weights. Those of a tag are taken in this process where the adapter behind it is known and lies here with its
base; the serving path has quantised them, so they tell versions apart and say nothing about the quantisation.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from persona_training.adapters import finished_adapter, read_adapter
from persona_training.bases import BaseModel, find_base
from persona_training.display import Display
from persona_training.errors import AdapterError
from persona_training.evaluation.cast import Cast, Voice, Weights, lessons, weights_of, without_echoes
from persona_training.evaluation.cast_of_adapters import golden_of
from persona_training.evaluation.openai_replier import OpenAIReplier, OpenAIServer
from persona_training.evaluation.report import Named
from persona_training.evaluation.request import NONE, Request, Tags
from persona_training.evaluation.results import VoiceName
from persona_training.evaluation.service import MemoryService
from persona_training.evaluation.subjects import Subject, find_adapter
from persona_training.evaluation.system_prompt import SystemPrompt, choose_system_prompt, trained_without
from persona_training.ollama.ledger import deployed_as, entries
from persona_training.run_folder import now
from persona_training.settings import Settings

NEUTRAL_FLOOR = "neutral replies of the battery"


def cast_of_tags(request: Request, subject: Subject, settings: Settings, tags: Tags, display: Display) -> Cast:
    """The tag, what is live beside it, the golden version where it is served, and the base where --floor names its tag.

    Raises:
        PersonaTrainingError: a tag that was named is not served, or an adapter behind one is damaged.
    """
    live = tags.live_tag(subject.name) if request.baseline is None else request.baseline
    reference = None if live in (None, NONE) else live
    display.fact("reference", reference or "none: nothing else is live, so it must rise above the floor")
    golden, why = _golden_tag(request, settings, tags)
    display.fact("golden", f"{golden or 'none'}: {why}")
    for tag in filter(None, (reference, golden, request.floor)):
        if not tags.serves(tag):
            raise AdapterError(f"Ollama does not serve {tag!r}, so nothing can be compared with it. See `ollama list`.")
    _show_floor(request, display)
    local = _Local(subject, settings)

    def voice(tag: str, name: VoiceName) -> Voice:
        behind = None if name == "floor" or _skills_beside(tag, settings, tags) else tags.adapter_of(tag)
        folder = find_adapter(behind, settings.adapters_dir) if behind else None
        weights, missing = local.weights(tag, folder, floor=name == "floor")
        identity = {"in": "ollama", "digest": tags.digest_of(tag)}
        return Voice(_named(tag, folder), identity, lambda: tags.replier(tag), weights, missing)

    voices = {name: voice(tag, name) for name, tag in _who(request, subject, reference, golden).items()}
    prompt = SystemPrompt(tags.system_of(subject.name), f"inside the tag {subject.name}")
    return Cast(
        subject=subject,
        voices=without_echoes(voices, display, baseline=request.baseline),
        floor_name=request.floor or NEUTRAL_FLOOR,
        prompt=prompt,
        told="",
        datasets=lessons(subject, settings, display),
    )


def with_skills(subject: Subject, settings: Settings, tags: Tags) -> Subject:
    """The subject, without its adapter where the tag serves skills beside it: what is heard then is not the adapter alone."""
    skills = _skills_beside(subject.name, settings, tags) if subject.backend == "ollama" else []
    if not skills:
        return subject
    reason = f"{subject.reason} with {', '.join(skills)} beside it"
    return replace(subject, folder=None, manifest=None, reason=reason)


def _skills_beside(tag: str, settings: Settings, tags: Tags) -> list[str]:
    """The skills that a tag serves with its adapter; its weights are then not the adapter's alone."""
    digest = tags.digest_of(tag)
    entry = deployed_as(settings.adapters_dir, digest) if digest else None
    return [str(skill) for skill in (entry or {}).get("skills") or []]


def openai_subject(request: Request, settings: Settings, server: OpenAIServer) -> Subject:
    """A model of a chat-completions server; where it is called like an adapter here, it is taken to be that.

    Raises:
        PersonaTrainingError: nobody answers, or the server does not serve it.
    """
    _check_served(server, request.model, server.models())
    folder = find_adapter(request.model, settings.adapters_dir)
    known = f", called like the adapter {folder.name}" if folder else ", of unknown origin"
    manifest = read_adapter(folder) if folder else None
    return Subject(request.model, "openai", folder, manifest, f"{server.url} serves {request.model}{known}")


def cast_of_server(
    request: Request,
    subject: Subject,
    settings: Settings,
    server: OpenAIServer,
    service: MemoryService,
    display: Display,
) -> Cast:
    """Models of one chat-completions server. It is told the system prompt, since nothing says that its models carry one.

    Raises:
        PersonaTrainingError: a model that was named is not served, or an adapter called like one is damaged.
    """
    served = server.models()
    reference = None if request.baseline in (None, NONE) else request.baseline
    display.fact("reference", reference or "none: name a model with --baseline, else it must rise above the floor")
    golden, why = _golden_model(request, settings, served)
    display.fact("golden", f"{golden or 'none'}: {why}")
    for name in filter(None, (reference, golden, request.floor)):
        _check_served(server, name, served)
    _show_floor(request, display)
    datasets = lessons(subject, settings, display)
    prompt = choose_system_prompt(service, subject.manifest, datasets, request.system_prompt)
    display.fact("system prompt", prompt.origin)
    local = _Local(subject, settings)

    def voice(model: str, name: VoiceName) -> Voice:
        folder = find_adapter(model, settings.adapters_dir) if name != "floor" else None
        weights, missing = local.weights(model, folder, floor=name == "floor")
        # Nothing tells which weights such a server holds today; a name is good for resuming on the same day only.
        identity = {"in": server.url, "model": model, "on": now()[:10]}
        speak = lambda: OpenAIReplier(model, server)  # noqa: E731 (called when the first thing has to be drawn)
        return Voice(_named(model, folder), identity, speak, weights, missing, lasting=False)

    voices = {name: voice(model, name) for name, model in _who(request, subject, reference, golden).items()}
    return Cast(
        subject=subject,
        voices=without_echoes(voices, display, baseline=request.baseline),
        floor_name=request.floor or NEUTRAL_FLOOR,
        prompt=prompt,
        told=prompt.text,
        datasets=datasets,
    )


def _who(request: Request, subject: Subject, reference: str | None, golden: str | None) -> dict[VoiceName, str]:
    found: dict[VoiceName, str | None] = {
        "candidate": subject.name,
        "reference": reference,
        "golden": golden,
        "floor": request.floor,
    }
    return {name: served for name, served in found.items() if served is not None}


class _Local:
    """Where weights behind served names lie on this machine."""

    def __init__(self, subject: Subject, settings: Settings) -> None:
        self._settings = settings
        self._omit = trained_without(subject.manifest)
        self._base: BaseModel | None = None
        self._why = "no adapter here is known to be behind the candidate"
        if subject.manifest is not None:
            self._base, self._why = _base_here(subject.manifest["base_model"], settings)

    def weights(self, name: str, folder: Path | None, *, floor: bool) -> tuple[Weights | None, str]:
        """The weights, or why they cannot be had. The floor's are the candidate's own base."""
        if self._base is None:
            return None, self._why
        if floor:
            return Weights(name, self._base, omit_system=self._omit), ""
        if folder is None:
            return None, f"no adapter here is known to be behind {name}"
        if read_adapter(folder)["base_model"]["sha256"] != self._base.sha256:
            return None, f"{folder.name} stands on another base, whose losses cannot be compared"
        return weights_of(folder, self._base, omit_system=self._omit), ""


def _base_here(pinned: dict[str, str], settings: Settings) -> tuple[BaseModel | None, str]:
    """The base by its name in a manifest, only if its files lie here: nothing is downloaded or built for losses alone."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    name = pinned["name"]
    here = Path(name).is_dir() or (settings.data_dir / "tiny" / name).is_dir()
    if not here:
        try:
            here = any(Path(snapshot_download(name, local_files_only=True)).glob("*.safetensors"))
        except (HFValidationError, LocalEntryNotFoundError, OSError):
            here = False
    if not here:
        return None, f"the base {name} does not lie on this machine"
    base = find_base(name, settings.data_dir)
    if base.sha256 != pinned["sha256"]:
        return None, f"the base {name} on this machine is not the one it was trained on"
    return base, ""


def _golden_tag(request: Request, settings: Settings, tags: Tags) -> tuple[str | None, str]:
    """The tag of the golden version: the one named, or the newest that was made from the pinned adapter and is still served."""
    if request.golden is not None and request.golden != NONE and tags.serves(request.golden):
        return request.golden, "as asked"
    folder, why = golden_of(request, settings)
    if folder is None:
        return None, why
    for entry in reversed(entries(settings.adapters_dir)):
        tag = str(entry.get("tag"))
        alone = not _skills_beside(tag, settings, tags)
        if entry.get("adapter_id") == folder.name and tags.adapter_of(tag) == folder.name and alone:
            return tag, f"made of {folder.name}, {why}"
    return None, f"{folder.name} ({why}) is not served under any tag; deploy it under one to have it heard"


def _golden_model(request: Request, settings: Settings, served: list[str]) -> tuple[str | None, str]:
    if request.golden is not None and request.golden != NONE:
        return request.golden, "as asked"
    folder, why = golden_of(request, settings)
    if folder is None or folder.name in served:
        return folder.name if folder else None, why
    return None, f"{folder.name} ({why}) is not served under its name"


def _check_served(server: OpenAIServer, name: str, served: list[str]) -> None:
    if name not in served:
        known = ", ".join(served[:6]) or "nothing"
        raise AdapterError(f"{server.url} does not serve {name!r}. It serves {known}.")


def _show_floor(request: Request, display: Display) -> None:
    hint = "" if request.floor else " (name the base with --floor to hear it)"
    display.fact("floor", f"{request.floor or NEUTRAL_FLOOR}{hint}")


def _named(name: str, folder: Path | None) -> Named:
    if folder is None:
        return Named(name)
    manifest = finished_adapter(folder)
    return Named(name, str(manifest["adapter_id"]), str(manifest["weights"]["sha256"]))
