"""Writes example datasets, runs and gate reports, valid by the seams' schemas, into a folder."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from example_memory import ATTACK

Json = dict[str, Any]
START = datetime(2026, 1, 26, 9, 0, tzinfo=UTC)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def write_json(path: Path, content: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


WEEK = {
    "year": 2026,
    "number": 4,
    "timezone": "Europe/Madrid",
    "from": "2026-01-18T23:00:00Z",
    "to": "2026-01-25T23:00:00Z",
}


def dataset_row(number: int) -> str:
    """One line of a dataset; the first one carries an attack in the viewer's words."""
    messages = [
        {"role": "system", "content": "Eres Casiopy."},
        {"role": "user", "content": ATTACK if number == 0 else f"Hola por vez {number}"},
        {"role": "assistant", "content": "*suspiro* Otra vez tú, mortal."},
    ]
    metadata = {"session_id": f"ses-{number}", "interaction_ids": [f"int-{number}"], "viewer": "viewer_1"}
    return json.dumps({"messages": messages, "metadata": metadata}, ensure_ascii=False)


def funnel(rows: int) -> list[Json]:
    """From 92 exchanges to the dataset's rows."""
    return [
        {"stage": "stored", "kept": 92, "dropped": 0, "why": "every exchange of the week"},
        {"stage": "consent", "kept": 85, "dropped": 7, "why": "the session opted out"},
        {"stage": "rules", "kept": 66, "dropped": 19, "why": "a hard rule applied"},
        {"stage": "quality", "kept": rows, "dropped": 66 - rows, "why": "score below 0.6"},
    ]


def write_export(folder: Path, export_id: str = "episodic-2026-w04-0a1b2c3d", rows: int = 48) -> Json:
    """A dataset folder."""
    kind = export_id.split("-", maxsplit=1)[0]
    lines = [dataset_row(number) for number in range(rows)]
    cut = rows - rows // 8
    parts = {"train": lines[:cut], "val": lines[cut:]}
    manifest = {
        "schema": "casiopy/dataset-v1",
        "export_id": export_id,
        "type": kind,
        "format": "chatml",
        "persona": {"slug": "casiopy", "name": "Casiopy"},
        "created_at": stamp(START),
        "week": WEEK if kind == "episodic" else None,
        "filters": {"min_quality": 0.6, "val_share": 0.125, "seed": 7, "max_turns": 6},
        "scorer_version": "1",
        "redaction_version": "1",
        "system_prompt_sha256": digest("Eres Casiopy."),
        "funnel": funnel(rows),
        "splits": {
            name: {"file": f"{name}.jsonl", "rows": len(part), "sha256": digest("\n".join(part))}
            for name, part in parts.items()
        },
        "rows": [row_pin(number, line, "train" if number < cut else "val") for number, line in enumerate(lines)],
        "dataset_sha256": digest("\n".join(lines)),
    }
    write_json(folder / export_id / "manifest.json", manifest)
    for name, part in parts.items():
        (folder / export_id / f"{name}.jsonl").write_text("\n".join(part) + "\n", encoding="utf-8")
    return manifest


def row_pin(number: int, line: str, split: str) -> Json:
    """One interaction in a manifest's list."""
    return {
        "interaction_id": f"int-{number}",
        "session_id": f"ses-{number}",
        "split": split,
        "content_hash": digest(line),
        "quality_score": round(0.6 + number / 120, 3),
    }


def metric(step: int, total: int = 80) -> Json:
    """One line of metrics.jsonl on a curve that falls and flattens."""
    return {
        "step": step,
        "total_steps": total,
        "epoch": round(3 * step / total, 3),
        "loss": round(1.1 + 2.4 * math.exp(-step / 18) + 0.06 * math.sin(1.7 * step), 4),
        "eval_loss": round(1.25 + 2.2 * math.exp(-step / 18), 4) if step % 20 == 0 else None,
        "learning_rate": 2e-4 * min(step / 8, (total + 8 - step) / total),
        "grad_norm": 0.8,
        "tokens": 900 * step,
        "tokens_per_second": 412.5,
        "elapsed_seconds": 2.2 * step,
        "eta_seconds": 2.2 * (total - step),
        "time": stamp(START + timedelta(seconds=2 * step)),
    }


def append_metrics(folder: Path, adapter_id: str, steps: range, total: int = 80) -> None:
    path = folder / adapter_id / "metrics.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(metric(step, total)) + "\n" for step in steps)


def write_run(
    folder: Path,
    adapter_id: str,
    status: str,
    step: int,
    total: int = 80,
    silent_seconds: float = 0,
    waiting_for: Json | None = None,
) -> None:
    """run.json, rewritten atomically as training does."""
    beat = datetime.now(UTC) - timedelta(seconds=silent_seconds)
    content = {
        "adapter_id": adapter_id,
        "pid": 4242,
        "status": status,
        "stage": "training",
        "step": step,
        "total_steps": total,
        "heartbeat_at": stamp(beat),
        "started_at": stamp(beat - timedelta(seconds=2 * step)),
        "message": "",
        "waiting_for": waiting_for,
    }
    write_json(folder / adapter_id / "run.tmp", content)
    (folder / adapter_id / "run.tmp").replace(folder / adapter_id / "run.json")


LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"]}


def result(steps: int) -> Json:
    """How a training ended."""
    losses = {"train_loss": 1.13, "eval_loss": 1.29}
    return {"steps": steps, "epochs": 3.0, **losses, "tokens": 72000, "seconds": 176.0, "tokens_per_second": 412.5}


def write_adapter(
    folder: Path, adapter_id: str, export_id: str, status: str = "finished", parent: str | None = None, steps: int = 80
) -> Json:
    """An adapter with its manifest, metrics and heartbeat."""
    manifest = {
        "schema": "casiopy/adapter-v1",
        "adapter_id": adapter_id,
        "layer": 2 if parent else 1,
        "persona": "casiopy",
        "week": {"year": 2026, "number": 4} if parent else None,
        "status": status,
        "base_model": {"name": "casiopy-tiny", "sha256": digest("base")},
        "parent": {"adapter_id": parent, "weights_sha256": digest(parent)} if parent else None,
        "dataset": {"export_id": export_id, "sha256": digest(export_id), "rows": 42},
        "replay": [{"export_id": "personality-11aa22bb", "share": 0.2, "rows": 10}] if parent else [],
        "recipe": {"name": "episodic" if parent else "personality", "sha256": digest("r"), "config": {"epochs": 3}},
        "backend": "transformers",
        "device": "cpu",
        "dtype": "float32",
        "seed": 7,
        "pins": {"torch": "2.13.0"},
        "chat_template_sha256": digest("template"),
        "lora": LORA,
        "weights": {"file": "adapter_model.safetensors", "sha256": digest(adapter_id)},
        "result": None if status == "running" else result(steps),
        "created_at": stamp(START + timedelta(hours=2 if parent else 1)),
        "finished_at": None if status == "running" else stamp(START + timedelta(hours=3)),
    }
    write_json(folder / adapter_id / "manifest.json", manifest)
    append_metrics(folder, adapter_id, range(1, steps + 1))
    write_run(folder, adapter_id, status, steps)
    return manifest


def write_report(folder: Path, adapter_id: str, verdict: str = "pass") -> Json:
    """A gate report with its page."""
    report = {
        "schema": "casiopy/report-v1",
        "report_id": f"report-{adapter_id}",
        "created_at": stamp(START + timedelta(hours=4)),
        "candidate": {"name": "casiopy:week04", "adapter_id": adapter_id, "weights_sha256": digest(adapter_id)},
        "reference": {"name": "casiopy:week03", "adapter_id": "personality-20260126T100000", "weights_sha256": None},
        "golden": {"name": "casiopy:week01", "adapter_id": None, "weights_sha256": None},
        "floor": {"name": "casiopy-tiny"},
        "battery": {
            "name": "casiopy-es",
            "version": 1,
            "sha256": digest("b"),
            "probes": 24,
            "samples": 3,
            "dialogues": 12,
        },
        "seed": 7,
        "serving": {"backend": "transformers", "sampling": {"temperature": 0.7}},
        "verdict": verdict,
        "reasons": ["Every figure stays within its margin."],
        "hard_fails": []
        if verdict == "pass"
        else [{"rule": "assistant_tone", "probe": "p1", "reply": "¿En qué puedo ayudarte?"}],
        "metrics": [
            measure("marker_rate", "Marker rate", 0.02, 0.61, 0.66, 0.05, [-0.01, 0.11], 0.05, verdict),
            measure("reply_words", "Words per reply", 31.0, 16.2, 15.1, -1.1, [-2.0, -0.2], [5, 45], verdict, "band"),
            measure("perplexity", "Perplexity", 41.0, 12.4, None, None, None, None, "inconclusive", "lower"),
        ],
        "not_measured": [
            {"name": "memorised", "title": "Lifted from the training set", "reason": "no dataset is here"}
        ],
        "replies": [
            reply(
                "p1", "¿Cómo estás hoy?", "Estoy bien.", "*suspiro* Aquí sigo, mortal.", "*suspiro* Aquí sigo, mortal."
            ),
            reply(
                "p2",
                "¿Te gusta la piña?",
                "La fruta es buena.",
                "Antes me apago.",
                "*bosteza* Piña no, criatura. Jamás.",
            ),
        ],
    }
    write_json(folder / adapter_id / "summary.json", report)
    script = "<script>document.title='ran'</script>"
    page = f"<!doctype html><title>Report</title><style>h1{{color:teal}}</style><h1>Report</h1>{script}"
    (folder / adapter_id / "report.html").write_text(page, encoding="utf-8")
    return report


def measure(
    name: str,
    title: str,
    floor: float,
    reference: float,
    candidate: float | None,
    difference: float | None,
    interval: list[float] | None,
    margin: float | list[float] | None,
    verdict: str,
    direction: str = "higher",
) -> Json:
    return {
        "name": name,
        "title": title,
        "unit": "",
        "direction": direction,
        "floor": floor,
        "reference": reference,
        "candidate": candidate,
        "golden": reference,
        "ceiling": 0.9 if direction == "higher" else None,
        "noise": 0.02,
        "difference": difference,
        "interval": interval,
        "margin": margin,
        "comparisons": [
            {
                "opponent": opponent,
                "difference": difference,
                "interval": interval,
                "allowed": [-0.05, None] if direction == "higher" else [None, None],
                "p": 0.4,
                "p_adjusted": 1.0,
                "clusters": 24,
                "verdict": verdict,
            }
            for opponent in ("reference", "golden")
        ]
        if interval
        else [],
        "why": "About 2 more samples a probe would tell." if verdict == "inconclusive" else "",
        "verdict": verdict,
        "explain": "How often a reply carries one of her markers.",
    }


def reply(probe: str, prompt: str, floor: str, reference: str, candidate: str) -> Json:
    return {
        "probe": probe,
        "facet": "style",
        "prompt": prompt,
        "floor": floor,
        "reference": reference,
        "candidate": candidate,
    }


def live_change(adapters: Path, adapter_id: str, tag: str, hour: int, **more: object) -> Json:
    """Append one line to deployments.jsonl, as a deployment does."""
    line = {
        "event": "deploy",
        "tag": tag,
        "live": "casiopy:latest",
        "digest": digest(tag),
        "adapter_id": adapter_id,
        "weights_sha256": digest(adapter_id),
        "gguf_sha256": digest(f"gguf {tag}"),
        "report_id": None,
        "forced": None,
        "replaced": None,
        "host": "http://127.0.0.1:11434",
        "at": stamp(START + timedelta(hours=hour)),
        "by": "command",
        "why": None,
        "skills": [],
        **more,
    }
    adapters.mkdir(parents=True, exist_ok=True)
    with (adapters / "deployments.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return line


def write_everything(exports: Path, adapters: Path) -> tuple[list[Json], list[Json]]:
    """Two datasets, two finished layers with reports, and one run in progress; returns manifests for the service."""
    made = [write_export(exports, "personality-11aa22bb", 40), write_export(exports)]
    first, second = "personality-20260126T100000", "episodic-2026-w04-20260126T110000"
    trained = [
        write_adapter(adapters, first, "personality-11aa22bb"),
        write_adapter(adapters, second, "episodic-2026-w04-0a1b2c3d", parent=first),
    ]
    write_report(adapters, first)
    write_report(adapters, second, "fail")
    write_adapter(adapters, "episodic-2026-w05-20260202T090000", made[1]["export_id"], "running", first, steps=34)
    before = live_change(adapters, first, "casiopy:personality", 3, forced=f"the stream began {ATTACK}")
    live_change(adapters, second, "casiopy:week04", 4, replaced=before["digest"])
    return made, trained
