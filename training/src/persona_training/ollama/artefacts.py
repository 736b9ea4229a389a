"""Everything a tag is made of, written into the `deploy/` folder beside its layers: weights as GGUF and a Modelfile."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from persona_training.adapters import write_json
from persona_training.bases import BaseModel
from persona_training.errors import StorageError
from persona_training.gguf_export.adapter import write_gguf_adapter
from persona_training.gguf_export.k_quants import Storage, write_model
from persona_training.gguf_export.template import stop_tokens
from persona_training.gguf_export.writing import WrittenGguf, read_back
from persona_training.hashing import sha256_file, sha256_text
from persona_training.joining import join_adapters, merge_to_folder
from persona_training.models import load_tokenizer
from persona_training.ollama.modelfile import Form, Serving, ollama_template, render_modelfile, serving_parameters
from persona_training.ollama.planning import Plan


@dataclass(frozen=True)
class Artefacts:
    """The files of one deployment and what they say.

    `gguf` is the merged model; in the adapter form it is the bare base, shared by all weeks, and `adapter` the layers.
    """

    folder: Path
    gguf: Path
    gguf_sha256: str
    modelfile: Path
    serving: Serving
    written: WrittenGguf
    adapter: Path | None = None
    adapter_sha256: str | None = None

    @property
    def form(self) -> Form:
        """How the layers are in these files."""
        return Form.MERGED if self.adapter is None else Form.ADAPTER


def write_artefacts(plan: Plan) -> Artefacts:
    """Join the layers, and write GGUF, Modelfile and `deployment.json`.

    A single adapter keeps them in its own folder, a week with skills in `joined/<names>/deploy`, beside its gate report. A LoRA
    file is always F32; the bare base of the adapter form is written once and shared.

    Raises:
        AdapterError: a layer is missing, changed, or belongs on another base.
        GgufError: the base model's architecture or tokenizer, or the kind of adapter, cannot be carried.
        StorageError: no room, or the folder cannot be written.
    """
    folder = (plan.layers.join if plan.layers.skills else plan.layers.top) / "deploy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written, lora = _write_weights(plan, folder)
        artefacts = _describe(plan, folder, written, lora)
        artefacts.modelfile.write_text(render_modelfile(artefacts.serving), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"Cannot write what is deployed into {folder}: {error}. Free some space there.") from error
    write_json(folder / "deployment.json", _described(artefacts, plan))
    return artefacts


def _write_weights(plan: Plan, folder: Path) -> tuple[WrittenGguf, Path | None]:
    """The GGUF file, and the layers' own in the adapter form."""
    layers, base = plan.layers, plan.base
    stem = plan.names.tag.replace(":", "-").replace("/", "-")
    name = f"{plan.names.tag} {layers.name}"
    with tempfile.TemporaryDirectory(prefix=".joining-", dir=folder) as joined:
        if plan.form is Form.MERGED:
            merged = merge_to_folder(base, layers.top, Path(joined) / "merged", layers.skills)
            target = folder / f"{stem}.{plan.storage.value}.gguf"
            return write_model(merged, target, name=name, storage=plan.storage), None
        written = _bare_base(base, plan.bases_dir, plan.storage)
        stack = join_adapters(layers.top, Path(joined) / "layers", layers.skills)
        return written, write_gguf_adapter(stack, base.folder, folder / f"{stem}.lora.gguf", name=name).path


def _describe(plan: Plan, folder: Path, written: WrittenGguf, lora: Path | None) -> Artefacts:
    stops = stop_tokens(written.chat_template, written.eos_token)
    return Artefacts(
        folder=folder,
        gguf=written.path,
        gguf_sha256=sha256_file(written.path),
        modelfile=folder / "Modelfile",
        serving=Serving(
            gguf_name=written.path.name if lora is None else str(written.path.resolve()),
            system=plan.prompt.text,
            template=ollama_template(written.chat_template),
            parameters=serving_parameters(plan.approval.sampling, stops, written.context_length),
            adapter_name="" if lora is None else lora.name,
        ),
        written=written,
        adapter=lora,
        adapter_sha256=None if lora is None else sha256_file(lora),
    )


def _bare_base(base: BaseModel, bases_dir: Path, storage: Storage) -> WrittenGguf:
    """The base's own GGUF, written when it is first needed."""
    path = bases_dir / f"base-{base.sha256[:16]}.{storage.value}.gguf"
    if path.is_file():
        return read_back(path)
    with tempfile.TemporaryDirectory(prefix=".tokenizer-", dir=_made(bases_dir)) as spoken:
        load_tokenizer(base.folder).save_pretrained(spoken)  # with the template that was trained on
        return write_model(base.folder, path, name=base.name, storage=storage, tokenizer_dir=Path(spoken))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _described(artefacts: Artefacts, plan: Plan) -> dict[str, object]:
    layers = None
    if artefacts.adapter is not None:
        size = artefacts.adapter.stat().st_size
        layers = {"file": artefacts.adapter.name, "sha256": artefacts.adapter_sha256, "bytes": size}
    prompt, manifest = plan.prompt, plan.manifest
    return {
        "tag": plan.names.tag,
        "adapter_id": manifest["adapter_id"],
        "weights_sha256": manifest["weights"]["sha256"],
        "parent": manifest["parent"],
        "layers": plan.layers.pins,
        "base_model": {"name": plan.base.name, "sha256": plan.base.sha256},
        "form": artefacts.form.value,
        "gguf": {
            "file": artefacts.gguf.name,
            "sha256": artefacts.gguf_sha256,
            "bytes": artefacts.written.size,
            "tensors": artefacts.written.tensors,
        },
        "adapter": layers,
        "system_prompt": {"origin": prompt.origin, "sha256": sha256_text(prompt.text), "characters": len(prompt.text)},
        "template": "ChatML, given to Ollama" if artefacts.serving.template else "the one inside the GGUF",
        "parameters": dict(artefacts.serving.parameters),
    }
