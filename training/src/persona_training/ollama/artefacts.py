"""Everything a tag is made of, written into `lora_adapters/<adapter_id>/deploy/`: weights as GGUF and a Modelfile."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from persona_training.adapters import Manifest, write_json
from persona_training.bases import BaseModel
from persona_training.evaluation.system_prompt import SystemPrompt
from persona_training.generation import Sampling
from persona_training.gguf_export.adapter import write_gguf_adapter
from persona_training.gguf_export.k_quants import Storage, write_model
from persona_training.gguf_export.template import stop_tokens
from persona_training.gguf_export.writing import WrittenGguf, read_back
from persona_training.hashing import sha256_file, sha256_text
from persona_training.joining import join_adapters, merge_to_folder
from persona_training.models import load_tokenizer
from persona_training.ollama.modelfile import Serving, ollama_template, render_modelfile, serving_parameters


class Form(StrEnum):
    """How the layers reach Ollama: merged into the base (every version takes it), or as an adapter beside it (some do)."""

    MERGED = "merged"
    ADAPTER = "adapter"


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


def write_artefacts(
    adapter: Path,
    manifest: Manifest,
    base: BaseModel,
    *,
    tag: str,
    prompt: SystemPrompt,
    sampling: Sampling,
    storage: Storage,
    form: Form,
    bases_dir: Path,
) -> Artefacts:
    """Join the adapter with its parents, and write GGUF, Modelfile and `deployment.json`.

    Args:
        storage: how the weights are stored; a LoRA file is always F32.
        form: see `Form`.
        bases_dir: where the adapter form keeps the bare base as GGUF, written once.

    Raises:
        AdapterError: a layer is missing, changed, or belongs on another base.
        GgufError: the base model's architecture or tokenizer, or the kind of adapter, cannot be carried.
    """
    folder = adapter / "deploy"
    folder.mkdir(parents=True, exist_ok=True)
    stem = tag.replace(":", "-").replace("/", "-")
    name = f"{tag} {manifest['adapter_id']}"
    lora: Path | None = None
    with tempfile.TemporaryDirectory(prefix=".joining-", dir=folder) as joined:
        if form is Form.MERGED:
            merged = merge_to_folder(base, adapter, Path(joined) / "merged")
            written = write_model(merged, folder / f"{stem}.{storage.value}.gguf", name=name, storage=storage)
        else:
            written = _bare_base(base, bases_dir, storage)
            layers = join_adapters(adapter, Path(joined) / "layers")
            lora = write_gguf_adapter(layers, base.folder, folder / f"{stem}.lora.gguf", name=name).path
    serving = Serving(
        gguf_name=written.path.name if lora is None else str(written.path.resolve()),
        system=prompt.text,
        template=ollama_template(written.chat_template),
        parameters=serving_parameters(
            sampling, stop_tokens(written.chat_template, written.eos_token), written.context_length
        ),
        adapter_name="" if lora is None else lora.name,
    )
    modelfile = folder / "Modelfile"
    modelfile.write_text(render_modelfile(serving), encoding="utf-8")
    artefacts = Artefacts(
        folder=folder,
        gguf=written.path,
        gguf_sha256=sha256_file(written.path),
        modelfile=modelfile,
        serving=serving,
        written=written,
        adapter=lora,
        adapter_sha256=None if lora is None else sha256_file(lora),
    )
    write_json(folder / "deployment.json", _described(artefacts, manifest, base, tag, prompt))
    return artefacts


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


def _described(
    artefacts: Artefacts, manifest: Manifest, base: BaseModel, tag: str, prompt: SystemPrompt
) -> dict[str, object]:
    layers = None
    if artefacts.adapter is not None:
        size = artefacts.adapter.stat().st_size
        layers = {"file": artefacts.adapter.name, "sha256": artefacts.adapter_sha256, "bytes": size}
    return {
        "tag": tag,
        "adapter_id": manifest["adapter_id"],
        "weights_sha256": manifest["weights"]["sha256"],
        "parent": manifest["parent"],
        "base_model": {"name": base.name, "sha256": base.sha256},
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
