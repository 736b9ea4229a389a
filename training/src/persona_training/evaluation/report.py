"""The report: one dictionary in the shape of `lora_adapters/schema/report-v1.schema.json`, and the files made from it."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from persona_training.adapters import write_json
from persona_training.errors import StorageError
from persona_training.evaluation.battery import Battery, Probe
from persona_training.evaluation.judgement import Finding, Judgement, Voices
from persona_training.evaluation.junit import write_junit
from persona_training.evaluation.page import write_page
from persona_training.generation import Sampling

Report = dict[str, Any]


@dataclass(frozen=True)
class Named:
    """A model as the report names it."""

    name: str
    adapter_id: str | None = None
    weights_sha256: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """The schema's `model`."""
        return {"name": self.name, "adapter_id": self.adapter_id, "weights_sha256": self.weights_sha256}


@dataclass(frozen=True)
class Setting:
    """How the models were asked."""

    battery: Battery
    probes: Sequence[Probe]
    samples: int
    seed: int
    backend: str
    sampling: Sampling
    system_prompt_origin: str


def build_report(
    setting: Setting,
    voices: Voices,
    judgement: Judgement,
    *,
    candidate: Named,
    reference: Named | None,
    floor: str,
    now: datetime | None = None,
) -> Report:
    """Every figure of a judgement in the report's shape; numbers that cannot be JSON (infinities) become null."""
    created = now or datetime.now(UTC)
    battery = setting.battery
    return {
        "schema": "casiopy/report-v1",
        "report_id": f"report-{created:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        "candidate": candidate.as_dict(),
        "reference": None if reference is None else reference.as_dict(),
        "floor": {"name": floor},
        "battery": {
            "name": battery.name,
            "version": battery.version,
            "sha256": battery.sha256,
            "probes": len(setting.probes),
            "samples": setting.samples,
        },
        "seed": setting.seed,
        "serving": {
            "backend": setting.backend,
            "sampling": _sampling(setting.sampling),
            "system_prompt": setting.system_prompt_origin,
        },
        "verdict": judgement.verdict,
        "reasons": judgement.reasons,
        "hard_fails": [{"rule": f.rule, "probe": f.probe, "reply": f.reply} for f in judgement.hard_fails],
        "metrics": [_metric(finding) for finding in judgement.findings],
        "replies": _side_by_side(setting.probes, voices, judgement),
    }


def _sampling(sampling: Sampling) -> dict[str, float | int]:
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "repetition_penalty": sampling.repetition_penalty,
        "max_new_tokens": sampling.max_new_tokens,
    }


def _metric(finding: Finding) -> dict[str, Any]:
    metric = finding.metric
    return {
        "name": metric.name,
        "title": metric.title,
        "unit": metric.unit,
        "direction": metric.direction,
        "floor": _number(finding.floor),
        "reference": _number(finding.reference),
        "candidate": _number(finding.candidate),
        "difference": _number(finding.difference),
        "interval": None if finding.interval is None else [_number(edge) for edge in finding.interval],
        "margin": metric.margin,
        "advisory": metric.advisory,
        "allowed": [_number(edge) for edge in finding.allowed],
        "verdict": finding.verdict,
        "explain": finding.explain,
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _side_by_side(probes: Sequence[Probe], voices: Voices, judgement: Judgement) -> list[dict[str, Any]]:
    """One row per probe and sample, the largest change of voice (in the style classifier's log-odds) first."""
    other = judgement.style.get("reference", judgement.style.get("floor"))
    own = judgement.style["candidate"]
    change = np.zeros_like(own) if other is None else np.abs(own - other)
    rows = [
        {
            "probe": probe.id,
            "facet": probe.facet,
            "prompt": probe.prompt,
            "sample": sample,
            "floor": None if voices.floor is None else voices.floor[i][sample],
            "reference": None if voices.reference is None else voices.reference[i][sample],
            "candidate": voices.candidate[i][sample],
            "change": round(float(change[i, sample]), 3),
        }
        for i, probe in enumerate(probes)
        for sample in range(len(voices.candidate[i]))
    ]
    return sorted(rows, key=lambda row: (-float(str(row["change"])), str(row["probe"])))


def write_report(folder: Path, report: Report) -> Mapping[str, Path]:
    """Write report.json, results.jsonl, junit.xml and report.html into a folder; returns their paths by name.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / name for name in ("report.json", "results.jsonl", "junit.xml", "report.html")}
        lines = (json.dumps(row, ensure_ascii=False) for row in report["replies"])
        paths["results.jsonl"].write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        write_junit(paths["junit.xml"], report)
        write_page(paths["report.html"], report)
    except OSError as error:
        raise StorageError(f"Cannot write the report into {folder}: {error.strerror}. Choose --output-dir.") from error
    write_json(paths["report.json"], report)
    return paths
