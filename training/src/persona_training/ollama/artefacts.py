"""Everything a tag is made of, written into `lora_adapters/<adapter_id>/deploy/`: weights as GGUF and a Modelfile."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from persona_training.adapters import Manifest, write_json
from persona_training.bases import BaseModel
from persona_training.evaluation.system_prompt import SystemPrompt
from persona_training.generation import Sampling
from persona_training.gguf_export.quantisation import Quantisation
from persona_training.gguf_export.template import stop_tokens
from persona_training.gguf_export.writing import WrittenGguf, write_gguf
from persona_training.hashing import sha256_file, sha256_text
from persona_training.joining import merge_to_folder
from persona_training.ollama.modelfile import Serving, ollama_template, render_modelfile, serving_parameters


@dataclass(frozen=True)
class Artefacts:
    """The files of one deployment and what they say."""

    folder: Path
    gguf: Path
    gguf_sha256: str
    modelfile: Path
    serving: Serving
    written: WrittenGguf


def write_artefacts(
    adapter: Path,
    manifest: Manifest,
    base: BaseModel,
    *,
    tag: str,
    prompt: SystemPrompt,
    sampling: Sampling,
    quantisation: Quantisation,
) -> Artefacts:
    """Join the adapter with its parents and the base, and write GGUF, Modelfile and `deployment.json`.

    Raises:
        AdapterError: a layer is missing, changed, or belongs on another base.
        GgufError: the base model's architecture or tokenizer cannot be carried.
    """
    folder = adapter / "deploy"
    folder.mkdir(parents=True, exist_ok=True)
    gguf = folder / f"{tag.replace(':', '-').replace('/', '-')}.{quantisation.value}.gguf"
    with tempfile.TemporaryDirectory(prefix=".joining-", dir=folder) as joined:
        merged = merge_to_folder(base, adapter, Path(joined) / "merged")
        written = write_gguf(merged, gguf, name=f"{tag} {manifest['adapter_id']}", quantisation=quantisation)
    stops = stop_tokens(written.chat_template, written.eos_token)
    serving = Serving(
        gguf_name=gguf.name,
        system=prompt.text,
        template=ollama_template(written.chat_template),
        parameters=serving_parameters(sampling, stops, written.context_length),
    )
    modelfile = folder / "Modelfile"
    modelfile.write_text(render_modelfile(serving), encoding="utf-8")
    artefacts = Artefacts(folder, gguf, sha256_file(gguf), modelfile, serving, written)
    write_json(folder / "deployment.json", _described(artefacts, manifest, base, tag, prompt))
    return artefacts


def _described(
    artefacts: Artefacts, manifest: Manifest, base: BaseModel, tag: str, prompt: SystemPrompt
) -> dict[str, object]:
    return {
        "tag": tag,
        "adapter_id": manifest["adapter_id"],
        "weights_sha256": manifest["weights"]["sha256"],
        "parent": manifest["parent"],
        "base_model": {"name": base.name, "sha256": base.sha256},
        "gguf": {
            "file": artefacts.gguf.name,
            "sha256": artefacts.gguf_sha256,
            "bytes": artefacts.written.size,
            "tensors": artefacts.written.tensors,
        },
        "system_prompt": {"origin": prompt.origin, "sha256": sha256_text(prompt.text), "characters": len(prompt.text)},
        "template": "ChatML, given to Ollama" if artefacts.serving.template else "the one inside the GGUF",
        "parameters": dict(artefacts.serving.parameters),
    }
