"""A stand-in Ollama, and finished adapters of every layer on a random base that need no training; two are approved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from peft import LoraConfig, get_peft_model
from persona_training.bases import find_base
from persona_training.display import Display
from persona_training.evaluation.battery import load_battery
from persona_training.evaluation.service import MemoryService
from persona_training.hashing import sha256_file, sha256_text
from persona_training.messages import Message
from persona_training.models import load_tokenizer
from persona_training.ollama.stand_in import StandInOllama
from persona_training.settings import Settings
from persona_training.tiny.tokenizer import learn_tokenizer
from rich.console import Console
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

LAYER_1 = "personality-20260101T000000"
LAYER_2 = "episodic-2026-w05-20260201T000000"
LAYER_3 = "skill-sarcasm-20260301T000000"


@pytest.fixture
def ollama() -> Iterator[StandInOllama]:
    with StandInOllama() as server:
        yield server


@dataclass
class House:
    """Folders with a base and three layers, a memory service that records, and what was shown.

    `erased`: adapter id to since when the service marks it.
    """

    settings: Settings
    service: MemoryService
    posted: list[tuple[str, Any]]
    shown: StringIO
    display: Display
    erased: dict[str, str] = field(default_factory=dict)

    def adapter(self, adapter_id: str) -> Path:
        return self.settings.adapters_dir / adapter_id

    def change_report(self, adapter_id: str, **changes: Any) -> None:
        path = self.adapter(adapter_id) / "summary.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.fixture(scope="session")
def random_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    spoken = [[Message(role="user", content=probe.prompt)] for probe in load_battery().probes]
    tokenizer = learn_tokenizer(spoken, 320)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = LlamaForCausalLM(  # type: ignore[no-untyped-call]
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=64,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=1,
                max_position_embeddings=128,
                tie_word_embeddings=True,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def finished(random_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapters as they were written; tests get a copy."""
    folder = tmp_path_factory.mktemp("adapters")
    base_sha256 = find_base(str(random_base), tmp_path_factory.mktemp("data")).sha256
    for adapter_id, layer in ((LAYER_1, 1), (LAYER_2, 2), (LAYER_3, 3)):
        _write_adapter(folder / adapter_id, layer, random_base, base_sha256)
    return folder


@pytest.fixture
def house(finished: Path, tmp_path: Path) -> House:
    posted: list[tuple[str, Any]] = []
    erased: dict[str, str] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            posted.append((request.url.path, json.loads(request.content)))
            return httpx.Response(201, json={})
        if request.url.path.startswith("/adapters/"):
            return httpx.Response(200, json={"tainted_at": erased.get(request.url.path.rpartition("/")[2])})
        return httpx.Response(200, json={"system_prompt": 'Eres Casiopy. Tu lema: "qué ilusión"'})

    settings = Settings(
        data_dir=tmp_path / "data",
        exports_dir=tmp_path / "exports",
        adapters_dir=tmp_path / "adapters",
        memory_service_url="http://memory.test",
    )
    shutil.copytree(finished, settings.adapters_dir)
    shown = StringIO()
    service = MemoryService(settings, httpx.MockTransport(answer))
    return House(settings, service, posted, shown, Display(Console(file=shown, width=200)), erased)


def _write_adapter(folder: Path, layer: int, base: Path, base_sha256: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(layer)
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base),
            LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
        )
    model.save_pretrained(str(folder))
    weights = folder / "adapter_model.safetensors"
    parent = folder.parent / LAYER_1 / "adapter_model.safetensors"
    manifest = {
        "schema": "casiopy/adapter-v1",
        "adapter_id": folder.name,
        "layer": layer,
        "persona": "casiopy",
        "week": {"year": 2026, "number": 5} if layer == 2 else None,
        "skill": "sarcasm" if layer == 3 else None,
        "status": "finished",
        "base_model": {"name": str(base), "sha256": base_sha256},
        "parent": {"adapter_id": LAYER_1, "weights_sha256": sha256_file(parent)} if layer > 1 else None,
        "dataset": {"export_id": None, "sha256": "0" * 64, "rows": 1},
        "recipe": {"name": "test", "sha256": "0" * 64, "config": {"system_prompt": "keep"}},
        "weights": {"file": weights.name, "sha256": sha256_file(weights)},
        "chat_template_sha256": sha256_text(str(load_tokenizer(base).chat_template)),
        "created_at": f"2026-0{layer}-01T00:00:00Z",
    }
    sampling = {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "repetition_penalty": 1.1, "max_new_tokens": 64}
    report = {
        "schema": "casiopy/report-v1",
        "report_id": f"report-{layer}",
        "candidate": {"weights_sha256": manifest["weights"]["sha256"]},  # type: ignore[index]
        "serving": {"backend": "transformers", "sampling": sampling},
        "verdict": "pass",
        "reasons": [],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    if layer < 3:
        (folder / "summary.json").write_text(json.dumps(report), encoding="utf-8")
