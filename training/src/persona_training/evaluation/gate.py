"""The gate from a name to a verdict: find the voices, hear them in rounds, judge, write the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from persona_training.display import Display
from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.battery import load_battery
from persona_training.evaluation.cast import Cast, her_replies
from persona_training.evaluation.cast_of_adapters import cast_of_adapters
from persona_training.evaluation.cast_of_tags import cast_of_server, cast_of_tags, openai_subject, with_skills
from persona_training.evaluation.embedding import find_embedding
from persona_training.evaluation.exam import Exam
from persona_training.evaluation.hearing import Hearing, Plan
from persona_training.evaluation.judgement import Judgement, judge
from persona_training.evaluation.openai_replier import OpenAIServer
from persona_training.evaluation.outcome import save, show
from persona_training.evaluation.replies import SERVED
from persona_training.evaluation.report import Named, Report, Setting, build_report
from persona_training.evaluation.request import Request, Tags
from persona_training.evaluation.results import VoiceName, lines_of, setting_line
from persona_training.evaluation.service import MemoryService
from persona_training.evaluation.subjects import Subject, find_subject
from persona_training.evaluation.transcript import Transcript
from persona_training.settings import Settings

__all__ = ["Request", "Tags", "find_cast", "report_folder", "run_gate"]


def run_gate(
    request: Request, settings: Settings, tags: Tags, display: Display, server: OpenAIServer | None = None
) -> Report:
    """Judge one model and, when asked to, write and register its report.

    Args:
        request: what the operator asked for.
        settings: folders and the memory service.
        tags: Ollama's.
        display: where facts and progress are shown.
        server: for the openai backend.

    Raises:
        PersonaTrainingError: nothing could be judged.
    """
    plan = _plan(request)
    service = MemoryService(settings)
    cast = find_cast(request, settings, tags, server, service, display)
    plan = replace(plan, told=cast.told, prompt=cast.prompt.text)
    embed = find_embedding(lambda why: display.fact("note", why))
    exam = Exam(plan.battery, plan.probes, plan.dialogues, her_replies(cast.datasets), embed)
    hearing = Hearing(plan, cast.voices, settings, display)
    said, judgement = _hear(request, hearing, exam, cast)
    named = {name: voice.named for name, voice in cast.voices.items()}
    named["candidate"] = Named(request.model, cast.subject.adapter_id, cast.subject.weights_sha256)
    report = build_report(_setting(plan, cast, said), said, judgement, named=named, floor=cast.floor_name)
    show(judgement, len(plan.probes), display)
    if request.save_report:
        folder = report_folder(request, cast.subject, settings)
        save(folder, report, _lines(plan, cast, named, said, report), cast.subject.adapter_id, service, display)
    hearing.forget_what_may_change()
    return report


def _plan(request: Request) -> Plan:
    if request.samples < 1:
        raise PersonaTrainingError("--samples must be at least 1.")
    battery = load_battery(request.weekly or request.battery)
    dialogue_samples = min(request.dialogues, request.samples)
    return Plan(
        battery=battery,
        probes=battery.choose(request.probes, request.seed),
        dialogues=battery.dialogues if dialogue_samples else (),
        samples=request.samples,
        dialogue_samples=dialogue_samples,
        seed=request.seed,
        losses=not request.smoke,
        redraw=request.redraw,
    )


def find_cast(
    request: Request,
    settings: Settings,
    tags: Tags,
    server: OpenAIServer | None,
    service: MemoryService,
    display: Display,
) -> Cast:
    """The voices of a request: who is judged and whom with, each with the reason why shown on `display`.

    Raises:
        PersonaTrainingError: somebody who was named is not to be had; the message says what to do.
    """
    if request.backend == "openai":
        if server is None:
            raise PersonaTrainingError("The openai backend needs a server: give --host or set OPENAI_BASE_URL.")
        subject = openai_subject(request, settings, server)
    else:
        subject = find_subject(
            request.model,
            settings.adapters_dir,
            wanted=request.backend,
            tag_is_served=tags.serves,
            adapter_of_tag=tags.adapter_of,
        )
        subject = with_skills(subject, settings, tags)
    display.fact("candidate", f"{subject.name}, by {subject.backend}: {subject.reason}")
    if server is not None and subject.backend == "openai":
        return cast_of_server(request, subject, settings, server, service, display)
    if subject.backend == "ollama":
        return cast_of_tags(request, subject, settings, tags, display)
    return cast_of_adapters(request, subject, settings, service, display)


def _hear(request: Request, hearing: Hearing, exam: Exam, cast: Cast) -> tuple[dict[str, Transcript], Judgement]:
    """Everything heard and its verdict; with early stop the verdict of the last look."""
    looks = request.samples if request.early_stop else 1
    last: list[Judgement] = []

    def look(said: Mapping[str, Transcript], number: int) -> Judgement:
        judgement = judge(exam, said, seed=request.seed, system_prompt=cast.prompt.text, look=number, looks=looks)
        last[:] = [judgement]
        return judgement

    said = hearing.hear(look if request.early_stop else None)
    return said, last[0] if last else look(said, 1)


def _setting(plan: Plan, cast: Cast, said: Mapping[str, Transcript]) -> Setting:
    return Setting(
        plan.battery,
        plan.probes,
        said["candidate"].samples,
        plan.seed,
        cast.subject.backend,
        SERVED,
        cast.prompt.origin,
        plan.dialogues,
    )


def _lines(
    plan: Plan, cast: Cast, named: Mapping[VoiceName, Named], said: Mapping[str, Transcript], report: Report
) -> list[dict[str, object]]:
    first = setting_line(
        plan.battery,
        plan.probes,
        plan.dialogues,
        voices={name: who.as_dict() for name, who in named.items()},
        floor=cast.floor_name,
        seed=plan.seed,
        backend=cast.subject.backend,
        sampling=SERVED,
        system_prompt=cast.prompt.text,
        system_prompt_origin=cast.prompt.origin,
        exports=[dataset.export_id for dataset in cast.datasets if dataset.export_id],
        looks=int(report["looks"]),
    )
    first |= {"report_id": report["report_id"], "created_at": report["created_at"]}
    voices = (lines_of(name, said[name], plan.battery, plan.probes, plan.dialogues) for name in cast.voices)
    return [first, *(line for voice in voices for line in voice)]


def report_folder(request: Request, subject: Subject, settings: Settings) -> Path:
    """The adapter's or the join's own folder, or `lora_adapters/tags/<tag>` for a tag without one, unless --output-dir says
    otherwise."""
    if request.output_dir is not None:
        return request.output_dir
    return subject.folder or settings.adapters_dir / "tags" / request.model.replace(":", "-").replace("/", "-")
