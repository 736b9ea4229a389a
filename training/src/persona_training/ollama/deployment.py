"""A deployment, step by step: planned, joined, written, uploaded, created, tried, made live, put on record."""

from __future__ import annotations

import dataclasses

from persona_training.display import Display
from persona_training.evaluation.service import MemoryService
from persona_training.ollama.artefacts import Artefacts, write_artefacts
from persona_training.ollama.canary import AdapterRefusedError, create_with_adapter, expected
from persona_training.ollama.ledger import Entry, exclusively, record
from persona_training.ollama.modelfile import Form, create_request
from persona_training.ollama.planning import DeployError, Plan, Request, make_plan
from persona_training.ollama.promotion import HalfMovedError, Moved, Names, discard, promote
from persona_training.ollama.rollback import undo
from persona_training.ollama.server import OllamaAwayError, OllamaError, OllamaServer, OllamaTooOldError
from persona_training.ollama.smoke import Smoke, smoke_test
from persona_training.run_folder import now
from persona_training.settings import Settings

__all__ = ["DeployError", "Plan", "Request", "deploy", "make_plan", "undo", "write_and_deploy", "write_plan"]


def write_plan(plan: Plan, display: Display) -> Artefacts:
    """Write the files of a plan; nothing outside its own `deploy` folder changes."""
    artefacts = write_artefacts(plan)
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
    rest = f"Everything is written. Where Ollama runs:\n{by_hand(artefacts, plan.names)}"
    try:
        return deploy(plan, artefacts, server, service, settings, display)
    except AdapterRefusedError as refusal:
        display.fact("adapter", f"{refusal.message} Deploying merged instead.")
        merged = dataclasses.replace(plan, form=Form.MERGED)
        return write_and_deploy(merged, server, service, settings, display)
    except OllamaAwayError as error:
        raise OllamaAwayError(f"{error.message}\n{rest}") from error
    except OllamaTooOldError as error:
        raise OllamaTooOldError(f"{error.message}\n{rest}") from error


def deploy(
    plan: Plan, artefacts: Artefacts, server: OllamaServer, service: MemoryService, settings: Settings, display: Display
) -> Entry:
    """Create, try and promote the model; on any failure what was live stays live.

    Raises:
        OllamaAwayError: nobody answers; the artefacts are written.
        AdapterRefusedError: they hold an adapter, and this Ollama refuses or ignores it.
        OllamaError: a step failed.
        StorageError: another deployment is under way.
    """
    with exclusively(settings.adapters_dir):
        version = server.usable_version(plan.names.candidate)
        display.fact("ollama", f"{server.url}, version {version}")
        if artefacts.form is Form.ADAPTER:
            display.fact("adapter", expected(version))
        moved, smoke = _live_or_as_before(plan, artefacts, server, display)
        entry = _entry(plan, artefacts, moved, server)
        record(settings.adapters_dir, entry)
    before = f"; before it: {plan.names.previous}" if moved.replaced else ""
    display.fact("live", f"{plan.names.live} is {plan.names.tag} now{before}")
    _register(entry, smoke, service, display)
    return entry


def _live_or_as_before(plan: Plan, artefacts: Artefacts, server: OllamaServer, display: Display) -> tuple[Moved, Smoke]:
    names = plan.names
    try:
        return _create_and_promote(plan, artefacts, server, display)
    except OllamaAwayError:
        raise
    except (AdapterRefusedError, HalfMovedError):
        discard(server, names)
        raise
    except OllamaError as error:
        discard(server, names)
        calm = f"{names.live} is what it was before; the artefacts stay in {artefacts.folder}."
        raise OllamaError(f"{error.message}\n{calm}") from error


def _entry(plan: Plan, artefacts: Artefacts, moved: Moved, server: OllamaServer) -> Entry:
    return Entry(
        event="deploy",
        tag=plan.names.tag,
        live=plan.names.live,
        digest=moved.digest,
        adapter_id=plan.manifest["adapter_id"],
        weights_sha256=plan.manifest["weights"]["sha256"],
        gguf_sha256=artefacts.adapter_sha256 or artefacts.gguf_sha256,  # of the file that is new
        report_id=plan.approval.report_id,
        forced=plan.approval.forced,
        replaced=moved.replaced,
        host=server.url,
        at=now(),
        skills=[manifest["adapter_id"] for manifest in plan.layers.skill_manifests],
    )


def _register(entry: Entry, smoke: Smoke, service: MemoryService, display: Display) -> None:
    """Tell the service: the week under both tags, each skill under the tag of the set, so that lineage finds them all."""
    facts: dict[str, object] = {
        "event": "deploy",
        "forced": entry.forced,
        "report_id": entry.report_id,
        "skills": entry.skills,
    }
    places = [(str(entry.adapter_id), entry.tag, False, {**smoke.as_dict(), **facts})]
    beside: dict[str, object] = {"event": "deploy", "together_with": entry.adapter_id, "forced": entry.forced}
    places += [(skill, entry.tag, False, beside) for skill in entry.skills]
    # The live tag comes last: the service retires what answered viewers under it before.
    places.append((str(entry.adapter_id), entry.live, True, {**smoke.as_dict(), **facts}))
    said = [
        service.register_deployment(
            adapter_id,
            {"tag": tag, "host": entry.host, "live": live, "smoke": told},
            f"deploy-{entry.at}-{adapter_id}-{tag}",
        )
        for adapter_id, tag, live, told in places
    ]
    for sentence in dict.fromkeys(said):
        display.fact("service", sentence)


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
        if server.has(path, sha256):
            display.fact("upload", f"{path.name} was there already (same digest)")
            continue
        lacks = (
            " The server lacks the base; it is uploaded once." if artefacts.adapter and path == artefacts.gguf else ""
        )
        display.fact("upload", f"{path.name}, {path.stat().st_size / 1e6:.1f} MB.{lacks}")
        server.upload(path, sha256)
    if artefacts.form is Form.ADAPTER:
        return create_with_adapter(server, names, artefacts)
    *_, last = server.create(create_request(names.candidate, artefacts.serving, artefacts.gguf_sha256))
    return last
