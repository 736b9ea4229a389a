"""Everything that is decided before anything is written: which layers, whether they may, under which names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from persona_training.adapters import Manifest, check_base
from persona_training.bases import BaseModel, find_base
from persona_training.display import Display
from persona_training.errors import PersonaTrainingError, TemplateError
from persona_training.evaluation.service import MemoryService
from persona_training.evaluation.system_prompt import SystemPrompt, choose_system_prompt, datasets_of
from persona_training.gguf_export.k_quants import Storage, require_quantiser
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.hashing import sha256_text
from persona_training.models import load_tokenizer
from persona_training.ollama.approval import Approval, approve
from persona_training.ollama.erasure import refuse_erased
from persona_training.ollama.layers import Layers, default_tag, layers_of_adapter, layers_of_week
from persona_training.ollama.modelfile import Form
from persona_training.ollama.promotion import Names
from persona_training.settings import Settings

# What Ollama accepts as a name and a tag (ollama/ollama, types/model/name.go): parts of at most 80 characters.
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}:[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


class DeployError(PersonaTrainingError):
    """The request does not name one deployable set of layers, or its tag is not usable."""


@dataclass(frozen=True)
class Request:
    """What the operator asked for; see the command's options."""

    week: int | None = None
    year: int | None = None
    adapter: str | None = None
    skills: Sequence[str] = ()
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

    layers: Layers
    names: Names
    approval: Approval
    base: BaseModel
    prompt: SystemPrompt
    storage: Storage
    form: Form
    bases_dir: Path

    @property
    def manifest(self) -> Manifest:
        """Of the topmost layer that is no skill beside it."""
        return self.layers.manifest


def make_plan(request: Request, settings: Settings, service: MemoryService, display: Display) -> Plan:
    """Find the layers and decide what they will be served as.

    Raises:
        PersonaTrainingError: there are no such layers, they are not approved, they hold what somebody had erased, they do not
            fit the base, or something they need is missing.
    """
    layers = _find(request, settings)
    names = Names(request.tag or default_tag(layers))
    check_tag(names)
    for manifest in layers.manifests:
        display.fact(f"layer {manifest['layer']}", manifest["adapter_id"])
    approval = approve(layers, force=request.force, reason=request.reason)
    display.fact("gate", approval.note)
    refuse_erased(service, [manifest["adapter_id"] for manifest in layers.manifests], display)
    require_quantiser(request.quantize)
    display.fact("tag", f"{names.tag}, then {names.live}")
    with display.building_base() as progress:
        base = find_base(layers.manifest["base_model"]["name"], settings.data_dir, progress)
    check_template(base, layers.manifests)
    display.fact("base", f"{base.name}; its chat template is the one every layer was trained with")
    datasets, _ = datasets_of(layers.manifests, settings.exports_dir)
    prompt = choose_system_prompt(service, layers.manifest, datasets, request.system_prompt)
    display.fact("system prompt", f"{len(prompt.text)} characters, from {prompt.origin}")
    return Plan(
        layers=layers,
        names=names,
        approval=approval,
        base=base,
        prompt=prompt,
        storage=request.quantize,
        form=request.form,
        bases_dir=settings.data_dir / "gguf",
    )


def _find(request: Request, settings: Settings) -> Layers:
    if (request.week is None) == (request.adapter is None):
        raise DeployError("Name what to deploy: either --week N (layer 2 of that week) or --adapter ID (any layer).")
    if request.adapter is not None:
        return layers_of_adapter(settings.adapters_dir, request.adapter, request.skills)
    assert request.week is not None  # noqa: S101 (checked above; tells the type checker)
    return layers_of_week(settings.adapters_dir, request.week, request.year, request.skills)


def check_tag(names: Names) -> None:
    """Refuse a tag that Ollama does not take, and those that are moved by deploying.

    Raises:
        DeployError: it is one of them.
    """
    if names.tag in (names.live, names.previous, names.candidate, names.bare):
        raise DeployError(
            f"{names.tag!r} cannot be used as a tag: latest, previous, candidate and bare are moved by deploying."
        )
    if not _TAG.fullmatch(names.tag):
        raise DeployError(
            f"{names.tag!r} cannot be used as a tag: give name:suffix with --tag, each of letters, digits, '.', '_' and "
            "'-', at most 80 of them."
        )


def check_template(base: BaseModel, manifests: Sequence[Manifest]) -> None:
    """Refuse layers that were trained with another chat template than the base is served with.

    Raises:
        TemplateError: a layer's pinned template is another one; with it turns would begin and end where she never learned it.
        AdapterError: a layer belongs on another base altogether.
    """
    for manifest in manifests:
        check_base(manifest, base.sha256)
    served = sha256_text(str(load_tokenizer(base.folder).chat_template))
    for manifest in manifests:
        trained = manifest.get("chat_template_sha256")
        if trained != served:
            raise TemplateError(
                f"{manifest['adapter_id']} was trained with another chat template ({str(trained)[:12]}…) than "
                f"{base.name} has now ({served[:12]}…). Restore the base's tokenizer as it was, or train that layer again."
            )
