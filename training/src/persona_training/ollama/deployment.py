"""A deployment, step by step: approved, joined, written, uploaded, created, tried, made live, put on record."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from persona_training.adapters import Manifest, adapter_chain, finished_adapter, read_adapter
from persona_training.bases import BaseModel, find_base
from persona_training.display import Display
from persona_training.errors import AdapterError, PersonaTrainingError
from persona_training.evaluation.service import MemoryService
from persona_training.evaluation.subjects import find_adapter, newest_adapter_of_week
from persona_training.evaluation.system_prompt import SystemPrompt, choose_system_prompt, datasets_of
from persona_training.gguf_export.k_quants import Storage, require_quantiser
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.ollama.approval import Approval, approve
from persona_training.ollama.artefacts import Artefacts, Form, write_artefacts
from persona_training.ollama.canary import AdapterRefusedError, create_with_adapter, expected
from persona_training.ollama.ledger import Entry, deployed_as, now_utc, record
from persona_training.ollama.modelfile import create_request
from persona_training.ollama.promotion import Moved, Names, discard, promote, roll_back
from persona_training.ollama.server import OllamaAwayError, OllamaError, OllamaServer
from persona_training.ollama.smoke import Smoke, smoke_test
from persona_training.settings import Settings


class DeployError(PersonaTrainingError):
    """The request does not name one deployable adapter, or its tag is not usable."""


@dataclass(frozen=True)
class Request:
    """What the operator asked for; see the command's options."""

    week: int | None = None
    year: int | None = None
    adapter: str | None = None
    tag: str | None = None
    force: bool = False
    reason: str | None = None
    dry_run: bool = False
    quantize: Storage = Quantisation.Q8_0
    system_prompt: Path | None = None
    form: Form = Form.MERGED


@dataclass(frozen=True)
class Plan:
    """Everything decided before anything is written."""

    adapter: Path
    manifest: Manifest
    names: Names
    approval: Approval
    base: BaseModel
    prompt: SystemPrompt
    storage: Storage
    form: Form
    bases_dir: Path


def make_plan(request: Request, settings: Settings, service: MemoryService, display: Display) -> Plan:
    """Find the adapter and decide what it will be served as.

    Raises:
        PersonaTrainingError: there is no such adapter, it is not approved, or something it needs is missing.
    """
    adapter = _find(request, settings)
    manifest = finished_adapter(adapter)
    display.fact("adapter", f"{manifest['adapter_id']} (layer {manifest['layer']})")
    approval = approve(adapter, manifest, force=request.force, reason=request.reason)
    display.fact("gate", approval.note)
    names = Names(request.tag or default_tag(manifest))
    _check_tag(names)
    require_quantiser(request.quantize)
    display.fact("tag", f"{names.tag}, then {names.live}")
    with display.building_base() as progress:
        base = find_base(manifest["base_model"]["name"], settings.data_dir, progress)
    chain = [read_adapter(folder) for folder in adapter_chain(adapter)]
    display.fact("layers", " + ".join([base.name, *(layer["adapter_id"] for layer in chain)]))
    datasets, _ = datasets_of(chain, settings.exports_dir)
    prompt = choose_system_prompt(service, manifest, datasets, request.system_prompt)
    display.fact("system prompt", f"{len(prompt.text)} characters, from {prompt.origin}")
    return Plan(
        adapter=adapter,
        manifest=manifest,
        names=names,
        approval=approval,
        base=base,
        prompt=prompt,
        storage=request.quantize,
        form=request.form,
        bases_dir=settings.data_dir / "gguf",
    )


def _find(request: Request, settings: Settings) -> Path:
    if (request.week is None) == (request.adapter is None):
        raise DeployError("Name what to deploy: either --week N (layer 2 of that week) or --adapter ID (any layer).")
    if request.adapter is not None:
        folder = find_adapter(request.adapter, settings.adapters_dir)
        if folder is None:
            raise AdapterError(f"No adapter {request.adapter!r} in {settings.adapters_dir}.")
        return folder
    assert request.week is not None  # noqa: S101 (checked above; tells the type checker)
    folder = newest_adapter_of_week(settings.adapters_dir, request.week, request.year)
    if folder is None:
        of = f"week {request.week}" + (f" of {request.year}" if request.year else "")
        raise AdapterError(
            f"No finished layer-2 adapter of {of} in {settings.adapters_dir}. Train it: "
            f"python training/train_episodic_lora.py --dataset exports/episodic/week_{request.week:02d}.jsonl "
            f"--week {request.week}"
        )
    return folder


def default_tag(manifest: Manifest) -> str:
    """`casiopy:week05` for layer 2 of week 5, `casiopy:personality` for layer 1, else `casiopy:layer3`."""
    week = manifest["week"]
    if week:
        return f"{manifest['persona']}:week{week['number']:02d}"
    return f"{manifest['persona']}:" + ("personality" if manifest["layer"] == 1 else f"layer{manifest['layer']}")


def _check_tag(names: Names) -> None:
    name, _, suffix = names.tag.partition(":")
    if not name or not suffix or names.tag in (names.live, names.previous, names.candidate, names.bare):
        raise DeployError(
            f"{names.tag!r} cannot be used as a tag: give name:suffix, where the suffix is not latest, previous, candidate "
            "or bare (those are moved by deploying)."
        )


def write_plan(plan: Plan, display: Display) -> Artefacts:
    """Write the files of a plan; nothing outside the adapter's `deploy` folder changes."""
    artefacts = write_artefacts(
        plan.adapter,
        plan.manifest,
        plan.base,
        tag=plan.names.tag,
        prompt=plan.prompt,
        sampling=plan.approval.sampling,
        storage=plan.storage,
        form=plan.form,
        bases_dir=plan.bases_dir,
    )
    tensors = ", ".join(f"{count} {kind}" for kind, count in artefacts.written.tensors.items())
    display.fact("gguf", f"{artefacts.gguf} ({artefacts.written.size / 1e6:.1f} MB; tensors: {tensors})")
    if artefacts.adapter is not None:
        size = artefacts.adapter.stat().st_size / 1e6
        display.fact("adapter", f"{artefacts.adapter} ({size:.1f} MB; the layers alone, over the base's own GGUF)")
    template = "ChatML, told to Ollama" if artefacts.serving.template else "left to the one inside the GGUF"
    display.fact("modelfile", f"{artefacts.modelfile} (template: {template})")
    return artefacts


def by_hand(artefacts: Artefacts, names: Names) -> str:
    """The commands that do the rest where Ollama runs."""
    return (
        f"  cd {artefacts.folder.resolve()}\n"
        f"  ollama create {names.tag} -f Modelfile\n"
        f'  ollama run {names.tag} "Hola, ¿quién eres?"\n'
        f"  ollama cp {names.tag} {names.live}"
    )


def write_and_deploy(
    plan: Plan, server: OllamaServer, service: MemoryService, settings: Settings, display: Display
) -> Entry:
    """Write a plan's files and make them live; merged, where an adapter was asked for and this Ollama will not have it.

    Raises:
        OllamaAwayError: nobody answers; everything is written, and the message ends with the commands for the rest.
        OllamaError: a step failed; what was live is untouched.
    """
    artefacts = write_plan(plan, display)
    try:
        return deploy(plan, artefacts, server, service, settings, display)
    except AdapterRefusedError as refusal:
        display.fact("adapter", f"{refusal.message} Deploying merged instead.")
        merged = dataclasses.replace(plan, form=Form.MERGED)
        return write_and_deploy(merged, server, service, settings, display)
    except OllamaAwayError as error:
        rest = by_hand(artefacts, plan.names)
        raise OllamaAwayError(f"{error.message}\nEverything is written. Where Ollama runs:\n{rest}") from error


def deploy(
    plan: Plan, artefacts: Artefacts, server: OllamaServer, service: MemoryService, settings: Settings, display: Display
) -> Entry:
    """Create, try and promote the model; on any failure what was live stays live.

    Raises:
        OllamaAwayError: nobody answers; the artefacts are written.
        AdapterRefusedError: they hold an adapter, and this Ollama refuses or ignores it.
        OllamaError: a step failed.
    """
    names = plan.names
    version = server.version()
    display.fact("ollama", f"{server.url}, version {version}")
    if artefacts.form is Form.ADAPTER:
        display.fact("adapter", expected(version))
    try:
        moved, smoke = _create_and_promote(plan, artefacts, server, display)
    except OllamaAwayError:
        raise
    except AdapterRefusedError:
        discard(server, names)
        raise
    except OllamaError as error:
        discard(server, names)
        calm = f"{names.live} is what it was before; the artefacts stay in {artefacts.folder}."
        raise OllamaError(f"{error.message}\n{calm}") from error
    entry = Entry(
        event="deploy",
        tag=names.tag,
        live=names.live,
        digest=moved.digest,
        adapter_id=plan.manifest["adapter_id"],
        weights_sha256=plan.manifest["weights"]["sha256"],
        gguf_sha256=artefacts.adapter_sha256 or artefacts.gguf_sha256,  # of the file that is new
        report_id=plan.approval.report_id,
        forced=plan.approval.forced,
        replaced=moved.replaced,
        host=server.url,
        at=now_utc(),
    )
    record(settings.adapters_dir, entry)
    display.fact(
        "live", f"{names.live} is {names.tag} now" + (f"; before it: {names.previous}" if moved.replaced else "")
    )
    said = [
        service.register_deployment(
            str(entry.adapter_id),
            {"tag": tag, "host": server.url, "live": tag == names.live, "smoke": smoke.as_dict()},
            f"deploy-{entry.at}-{tag}",
        )
        for tag in (names.tag, names.live)  # the service retires what answered viewers under the live tag before
    ]
    for sentence in dict.fromkeys(said):
        display.fact("service", sentence)
    return entry


def _create_and_promote(
    plan: Plan, artefacts: Artefacts, server: OllamaServer, display: Display
) -> tuple[Moved, Smoke]:
    names = plan.names
    last = _create(artefacts, names, server, display)
    display.fact("create", f"{names.candidate}: {last}")
    smoke = smoke_test(server, names.candidate, plan.approval.sampling)
    for prompt, reply in smoke.replies:
        display.fact("smoke", f"{prompt} → {reply or '(nothing)'}")
    if smoke.faults:
        raise OllamaError(f"The smoke test failed: {'; '.join(smoke.faults)}.")
    return promote(server, names), smoke


def _create(artefacts: Artefacts, names: Names, server: OllamaServer, display: Display) -> str:
    """Upload what the server lacks and create the candidate; returns the last status."""
    files = [(artefacts.gguf, artefacts.gguf_sha256)]
    if artefacts.adapter is not None and artefacts.adapter_sha256 is not None:
        files.append((artefacts.adapter, artefacts.adapter_sha256))
    for path, sha256 in files:
        fresh = server.upload(path, sha256)
        display.fact("upload", f"{path.name} " + ("uploaded" if fresh else "was there already (same digest)"))
    if artefacts.form is Form.ADAPTER:
        return create_with_adapter(server, names, artefacts)
    *_, last = server.create(create_request(names.candidate, artefacts.serving, artefacts.gguf_sha256))
    return last


def undo(name: str, server: OllamaServer, service: MemoryService, settings: Settings, display: Display) -> Entry:
    """Roll `<name>:latest` back to `<name>:previous`.

    Raises:
        OllamaError: there is nothing to roll back to, or Ollama failed and nothing changed.
    """
    names = Names(f"{name}:rollback")
    moved = roll_back(server, names)
    known = deployed_as(settings.adapters_dir, moved.digest) or {}
    entry = Entry(
        event="rollback",
        tag=str(known.get("tag", names.previous)),
        live=names.live,
        digest=moved.digest,
        adapter_id=known.get("adapter_id"),
        weights_sha256=known.get("weights_sha256"),
        gguf_sha256=known.get("gguf_sha256"),
        report_id=known.get("report_id"),
        forced=None,
        replaced=moved.replaced,
        host=server.url,
        at=now_utc(),
    )
    record(settings.adapters_dir, entry)
    display.fact("live", f"{names.live} is {entry.tag} again ({entry.adapter_id or 'of unknown origin'})")
    if entry.adapter_id:
        body = {"tag": names.live, "host": server.url, "live": True, "smoke": {"ok": True, "event": "rollback"}}
        display.fact("service", service.register_deployment(entry.adapter_id, body, f"rollback-{entry.at}"))
    return entry
