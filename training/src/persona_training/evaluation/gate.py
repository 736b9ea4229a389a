"""The gate from a name to a verdict: find the models, hear them, judge, write the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from persona_training.adapters import Manifest, adapter_chain, check_base, finished_adapter, read_adapter
from persona_training.bases import BaseModel, find_base
from persona_training.datasets import Dataset
from persona_training.display import Display
from persona_training.errors import AdapterError, PersonaTrainingError
from persona_training.evaluation.battery import SHIPPED, Battery, Probe, load_battery
from persona_training.evaluation.exam import Exam
from persona_training.evaluation.judgement import Judgement, judge, sentence
from persona_training.evaluation.replies import SERVED, Drawn, draw
from persona_training.evaluation.report import Named, Report, Setting, build_report, write_report
from persona_training.evaluation.service import MemoryService
from persona_training.evaluation.subjects import Backend, Subject, default_baseline, find_adapter, find_subject
from persona_training.evaluation.system_prompt import SystemPrompt, choose_system_prompt, datasets_of
from persona_training.evaluation.transcript import Transcript
from persona_training.generation import Replier, load_transformers_replier
from persona_training.settings import Settings


@dataclass(frozen=True)
class Request:
    """What the operator asked for; see the command's options."""

    model: str
    battery: str = SHIPPED
    baseline: str | None = None
    floor: str | None = None
    samples: int = 2
    prompts: int | None = None
    seed: int = 7
    backend: Backend | None = None
    system_prompt: Path | None = None
    save_report: bool = False
    output_dir: Path | None = None


class Tags(Protocol):
    """What the gate needs to know about Ollama."""

    def serves(self, tag: str) -> bool:
        """Is Ollama reachable and does it know this tag?"""
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


@dataclass(frozen=True)
class Cast:
    """The voices of one comparison and what is known about them."""

    subject: Subject
    candidate: Replier
    reference: Replier | None
    reference_named: Named | None
    floor: Replier | None
    floor_name: str
    prompt: SystemPrompt
    prompt_is_told: bool
    datasets: Sequence[Dataset]


def run_gate(request: Request, settings: Settings, tags: Tags, display: Display) -> Report:
    """Judge one model and, when asked to, write and register its report.

    Raises:
        PersonaTrainingError: nothing could be judged.
    """
    battery = load_battery(request.battery)
    probes = battery.choose(request.prompts, request.seed)
    if request.samples < 1:
        raise PersonaTrainingError("--samples must be at least 1.")
    subject = find_subject(
        request.model,
        settings.adapters_dir,
        wanted=request.backend,
        tag_is_served=tags.serves,
        adapter_of_tag=tags.adapter_of,
    )
    display.fact("candidate", f"{subject.name}, by {subject.backend}: {subject.reason}")
    service = MemoryService(settings)
    if subject.backend == "ollama":
        cast = _cast_of_tags(request, subject, settings, tags, display)
    else:
        cast = _cast_of_adapters(request, subject, settings, service, display)
    voices, judgement = _hear_and_judge(request, battery, probes, cast, display)
    report = build_report(
        Setting(battery, probes, request.samples, request.seed, subject.backend, SERVED, cast.prompt.origin),
        voices,
        judgement,
        candidate=Named(request.model, subject.adapter_id, subject.weights_sha256),
        reference=cast.reference_named,
        floor=cast.floor_name,
    )
    _show(judgement, display)
    if request.save_report:
        _save(request, report, subject, settings, service, display)
    return report


def _cast_of_adapters(
    request: Request, subject: Subject, settings: Settings, service: MemoryService, display: Display
) -> Cast:
    if subject.folder is None or subject.manifest is None:
        raise AdapterError(f"{subject.name} is not an adapter, so it cannot reply in this process.")
    manifest = finished_adapter(subject.folder)
    base = _base_of(manifest, request, settings, display)
    display.fact("floor", f"{base.name}, the base model without any adapter")
    reference, why = _baseline(request, subject, settings)
    display.fact("reference", f"{reference.name if reference else 'none'}: {why}")
    chain = [read_adapter(folder) for folder in adapter_chain(subject.folder)]
    datasets, missing = datasets_of(chain, settings.exports_dir)
    for note in missing:
        display.fact("note", note)
    prompt = choose_system_prompt(service, manifest, datasets, request.system_prompt)
    display.fact("system prompt", prompt.origin)
    omit = manifest["recipe"]["config"].get("system_prompt") == "omit"

    def voice(folder: Path | None) -> Replier:
        stacked = adapter_chain(folder) if folder else []
        return load_transformers_replier(
            base.folder, stacked, name=folder.name if folder else base.name, omit_system=omit
        )

    named = None
    if reference is not None:
        of = finished_adapter(reference)
        check_base(of, base.sha256)
        named = Named(reference.name, of["adapter_id"], of["weights"]["sha256"])
    return Cast(
        subject=subject,
        candidate=voice(subject.folder),
        reference=None if reference is None else voice(reference),
        reference_named=named,
        floor=voice(None),
        floor_name=base.name,
        prompt=prompt,
        prompt_is_told=True,
        datasets=datasets,
    )


def _base_of(manifest: Manifest, request: Request, settings: Settings, display: Display) -> BaseModel:
    with display.building_base() as progress:
        base = find_base(request.floor or manifest["base_model"]["name"], settings.data_dir, progress)
    check_base(manifest, base.sha256)
    return base


def _baseline(request: Request, subject: Subject, settings: Settings) -> tuple[Path | None, str]:
    if request.baseline is None:
        return default_baseline(subject, settings.adapters_dir)
    if request.baseline == "none":
        return None, "as asked: it must rise above the base model"
    folder = find_adapter(request.baseline, settings.adapters_dir)
    if folder is None:
        raise AdapterError(f"No adapter {request.baseline!r} in {settings.adapters_dir} to compare with.")
    return folder, "as asked"


def _cast_of_tags(request: Request, subject: Subject, settings: Settings, tags: Tags, display: Display) -> Cast:
    live = tags.live_tag(subject.name) if request.baseline is None else request.baseline
    reference = None if live in (None, "none") else live
    for tag in filter(None, (reference, request.floor)):
        if not tags.serves(tag):
            raise AdapterError(f"Ollama does not serve {tag!r}, so nothing can be compared with it. See `ollama list`.")
    display.fact("reference", reference or "none: nothing else is live, so it must rise above the floor")
    floor_name = request.floor or "neutral replies of the battery"
    display.fact("floor", floor_name + ("" if request.floor else " (name the base's tag with --floor to hear it)"))
    chain = [read_adapter(folder) for folder in adapter_chain(subject.folder)] if subject.folder else []
    datasets, missing = datasets_of(chain, settings.exports_dir)
    for note in missing:
        display.fact("note", note)
    reference_folder = find_adapter(tags.adapter_of(reference) or "", settings.adapters_dir) if reference else None
    of = finished_adapter(reference_folder) if reference_folder and reference_folder != Path() else None
    return Cast(
        subject=subject,
        candidate=tags.replier(subject.name),
        reference=tags.replier(reference) if reference else None,
        reference_named=None
        if reference is None
        else Named(reference, of["adapter_id"] if of else None, of["weights"]["sha256"] if of else None),
        floor=tags.replier(request.floor) if request.floor else None,
        floor_name=floor_name,
        prompt=SystemPrompt(tags.system_of(subject.name), f"inside the tag {subject.name}"),
        prompt_is_told=False,
        datasets=datasets,
    )


def _hear_and_judge(
    request: Request, battery: Battery, probes: Sequence[Probe], cast: Cast, display: Display
) -> tuple[dict[str, Transcript], Judgement]:
    told = cast.prompt.text if cast.prompt_is_told else ""

    said: dict[str, Transcript] = {}
    voices = {"floor": cast.floor, "reference": cast.reference, "candidate": cast.candidate}
    for voice, replier in voices.items():
        if replier is None:
            continue
        drawn: Drawn = draw(replier, probes, samples=request.samples, seed=request.seed, system_prompt=told)
        display.fact("heard", f"{drawn.name}: {len(probes)} probes x {request.samples} in {drawn.seconds:.1f} s")
        said[voice] = Transcript(drawn.name, drawn.replies, seconds=drawn.seconds)
    exam = Exam(battery, probes, training_replies=her_replies(cast.datasets))
    return said, judge(exam, said, seed=request.seed, system_prompt=cast.prompt.text)


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


def _show(judgement: Judgement, display: Display) -> None:
    for finding in judgement.findings:
        display.fact(
            "advisory" if finding.metric.advisory else finding.verdict, f"{finding.metric.title}: {sentence(finding)}"
        )
    for reason in judgement.reasons:
        if reason.startswith("hard rule"):
            display.fact("fail", reason)
    display.fact("VERDICT", judgement.verdict.upper())


def _save(
    request: Request, report: Report, subject: Subject, settings: Settings, service: MemoryService, display: Display
) -> None:
    folder = report_folder(request, subject, settings)
    paths = write_report(folder, report)
    display.fact("report", f"{paths['report.html']} and {', '.join(name for name in paths if name != 'report.html')}")
    if subject.adapter_id is None:
        display.fact("note", "Not registered: no adapter here is known to be behind this tag.")
    else:
        display.fact("service", service.register_report(subject.adapter_id, report))


def report_folder(request: Request, subject: Subject, settings: Settings) -> Path:
    """The adapter's own folder, or `lora_adapters/tags/<tag>` for a tag without one, unless --output-dir says otherwise."""
    if request.output_dir is not None:
        return request.output_dir
    return subject.folder or settings.adapters_dir / "tags" / request.model.replace(":", "-").replace("/", "-")
