"""A manifest and a report as training and the gate write them, to be varied by the tests."""

from typing import Any

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def manifest(adapter_id: str = "personality-20260201T120000", **changes: Any) -> dict[str, Any]:
    """A finished layer 1."""
    return {
        "schema": "casiopy/adapter-v1",
        "adapter_id": adapter_id,
        "layer": 1,
        "persona": "casiopy",
        "week": None,
        "status": "finished",
        "base_model": {"name": "tiny", "sha256": A},
        "parent": None,
        "dataset": {"export_id": None, "sha256": B, "rows": 40},
        "replay": [],
        "recipe": {"name": "personality", "sha256": C, "config": {"learning_rate": 0.0002, "epochs": 3}},
        "backend": "transformers",
        "device": "cpu",
        "dtype": "float32",
        "seed": 7,
        "pins": {"peft": "0.21.2"},
        "chat_template_sha256": A,
        "lora": {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "target_modules": ["q_proj", "v_proj"]},
        "weights": {"file": "adapter_model.safetensors", "sha256": B},
        "result": {
            "steps": 60,
            "epochs": 3,
            "train_loss": 1.25,
            "eval_loss": None,
            "tokens": 12000,
            "seconds": 21.5,
            "tokens_per_second": 558.1,
        },
        "created_at": "2026-02-01T12:00:00Z",
        "finished_at": "2026-02-01T12:00:30.5Z",
        **changes,
    }


def report(adapter_id: str = "personality-20260201T120000", **changes: Any) -> dict[str, Any]:
    """A passing report on it."""
    return {
        "schema": "casiopy/report-v1",
        "report_id": "report-1",
        "created_at": "2026-02-01T13:00:00Z",
        "candidate": {"name": adapter_id, "adapter_id": adapter_id, "weights_sha256": B},
        "reference": None,
        "floor": {"name": "tiny"},
        "battery": {"name": "casiopy", "version": "1", "sha256": C, "probes": 24, "samples": 2},
        "seed": 7,
        "serving": {"backend": "transformers", "sampling": {"temperature": 0.7}},
        "verdict": "pass",
        "reasons": ["no metric lost"],
        "hard_fails": [],
        "metrics": [],
        "replies": [],
        **changes,
    }
