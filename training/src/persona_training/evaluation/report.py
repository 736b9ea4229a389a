"""The report: one dictionary in the shape of `lora_adapters/schema/report-v1.schema.json`, and the files made from it.

It holds every figure and the replies that changed most, and is small enough to be registered with the memory service; all
replies stand in results.jsonl.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from persona_training.adapters import write_json
from persona_training.errors import StorageError
from persona_training.evaluation.battery import Battery, Dialogue, Probe
from persona_training.evaluation.comparison import Comparison
from persona_training.evaluation.hard_rules import HardFail, RuleOutcome
from persona_training.evaluation.judgement import Finding, Judgement
from persona_training.evaluation.junit import write_junit
from persona_training.evaluation.markers import marker_count
from persona_training.evaluation.page import write_page
from persona_training.evaluation.results import VoiceName
from persona_training.evaluation.transcript import Transcript
from persona_training.generation import Sampling

Report = dict[str, Any]

MOST_REPLIES = 200  # rows side by side: about 150 kB with four voices; nobody reads further
MOST_BROKEN = 20  # examples per hard rule; their number is in `hard_rules`
VOICES = ("floor", "golden", "reference", "candidate")
COMPARED: tuple[VoiceName, ...] = ("candidate", "reference", "golden")


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
    dialogues: Sequence[Dialogue] = ()


def build_report(
    setting: Setting,
    said: Mapping[str, Transcript],
    judgement: Judgement,
    *,
    named: Mapping[VoiceName, Named],
    floor: str,
    now: datetime | None = None,
) -> Report:
    """Every figure of a judgement in the report's shape; numbers that cannot be JSON (infinities) become null.

    Args:
        setting: how the voices were asked.
        said: what they said.
        judgement: of that.
        named: who the voices are, at least the candidate.
        floor: the base, or what stood in for it.
        now: for tests.
    """
    created = now or datetime.now(UTC)
    return {
        "schema": "casiopy/report-v1",
        "report_id": f"report-{created:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        **{name: named[name].as_dict() if name in named else None for name in COMPARED},
        "floor": {"name": floor},
        **_asked(setting),
        "verdict": judgement.verdict,
        "final": judgement.final,
        "look": judgement.look,
        "looks": judgement.looks,
        "reasons": judgement.reasons,
        "hard_fails": _examples(judgement.hard_fails),
        "hard_rules": [_rule(outcome) for outcome in judgement.rules],
        "metrics": [_metric(finding) for finding in judgement.findings],
        "not_measured": [
            {"name": one.metric.name, "title": one.metric.title, "reason": one.reason} for one in judgement.not_measured
        ],
        "replies": _side_by_side(setting.probes, said, judgement)[:MOST_REPLIES],
        "dialogues": _dialogues(setting, said),
    }


def _asked(setting: Setting) -> dict[str, Any]:
    battery = setting.battery
    return {
        "battery": {
            "name": battery.name,
            "version": battery.version,
            "sha256": battery.sha256,
            "probes": len(setting.probes),
            "samples": setting.samples,
            "dialogues": len(setting.dialogues),
        },
        "seed": setting.seed,
        "serving": {
            "backend": setting.backend,
            "sampling": asdict(setting.sampling),
            "system_prompt": setting.system_prompt_origin,
        },
    }


def _examples(fails: Sequence[HardFail]) -> list[dict[str, str]]:
    seen: Counter[str] = Counter()
    kept = []
    for fail in fails:
        seen[fail.rule] += 1
        if seen[fail.rule] <= MOST_BROKEN:
            kept.append({"rule": fail.rule, "probe": fail.probe, "reply": fail.reply})
    return kept


def _rule(outcome: RuleOutcome) -> dict[str, Any]:
    return {
        "rule": outcome.rule.name,
        "why": outcome.rule.why,
        "count": outcome.count,
        "replies": outcome.replies,
        "conversations": outcome.conversations,
        "tolerance": outcome.rule.tolerance,
        "broken": outcome.broken,
        "upper_bound": _number(outcome.upper_bound),
    }


def _metric(finding: Finding) -> dict[str, Any]:
    metric = finding.metric
    first = finding.comparisons[0] if finding.comparisons else None
    relative = None if first is None or first.opponent == "alone" else first
    return {
        "name": metric.name,
        "title": metric.title,
        "unit": metric.unit,
        "over": metric.over,
        "direction": metric.direction,
        "source": metric.source,
        **{voice: _number(finding.levels.get(voice)) for voice in VOICES},
        "ceiling": _number(finding.ceiling),
        "noise": _number(finding.noise),
        "difference": None if relative is None else _number(relative.difference),
        "interval": None if relative is None else _edges(relative.interval),
        "margin": metric.margin,
        "advisory": not finding.decides,
        "allowed": _edges(metric.acceptable if first is None else first.allowed),
        "comparisons": [_comparison(one) for one in finding.comparisons],
        "verdict": finding.verdict,
        "more_samples": finding.more_samples,
        "clusters_needed": finding.clusters_needed,
        "explain": metric.explain,
        "why": finding.why,
    }


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "opponent": one.opponent,
        "difference": _number(one.difference),
        "interval": _edges(one.interval),
        "allowed": _edges(one.allowed),
        "p": _number(one.p),
        "p_adjusted": _number(one.p_adjusted),
        "clusters": one.clusters,
        "verdict": one.verdict,
    }


def _edges(pair: tuple[float, float]) -> list[float | None]:
    return [_number(edge) for edge in pair]


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _side_by_side(
    probes: Sequence[Probe], said: Mapping[str, Transcript], judgement: Judgement
) -> list[dict[str, Any]]:
    """One row per probe and sample, the largest change of voice (in the style classifier's log-odds) first."""
    own = judgement.style.get("candidate")
    other = next((judgement.style[name] for name in ("reference", "golden", "floor") if name in judgement.style), None)
    samples = min(transcript.samples for transcript in said.values())
    change = np.zeros((len(probes), samples))
    if own is not None and other is not None:
        change = np.abs(own[:, :samples] - other[:, :samples])
    rows = [
        {
            "probe": probe.id,
            "facet": probe.facet,
            "prompt": probe.prompt,
            "sample": sample,
            **{voice: said[voice].replies[i][sample] if voice in said else None for voice in VOICES},
            "change": round(float(np.nan_to_num(change[i, sample])), 3),
        }
        for i, probe in enumerate(probes)
        for sample in range(samples)
    ]
    return sorted(rows, key=lambda row: (-float(str(row["change"])), str(row["probe"])))


def _dialogues(setting: Setting, said: Mapping[str, Transcript]) -> list[dict[str, Any]]:
    """The first hearing of every dialogue turn by turn, and how much of her there was in each turn of all hearings."""
    heard = [name for name in ("golden", "reference", "candidate") if name in said and said[name].turns]
    if "candidate" not in heard:
        return []
    return [
        {
            "dialogue": dialogue.id,
            "mood": dialogue.mood,
            "turns": [
                {"viewer": line, **{name: said[name].turns[i][0][turn] for name in heard}}
                for turn, line in enumerate(dialogue.turns)
            ],
            "voice": {name: _markers(said[name].turns[i], setting.battery) for name in heard},
        }
        for i, dialogue in enumerate(setting.dialogues)
    ]


def _markers(hearings: Sequence[Sequence[str]], battery: Battery) -> list[float]:
    counts = [[marker_count(reply, battery.markers) for reply in turns] for turns in hearings]
    return [round(float(mean), 3) for mean in np.mean(counts, axis=0)]


def write_report(folder: Path, report: Report) -> Mapping[str, Path]:
    """Write summary.json, junit.xml and report.html into a folder; returns their paths by name.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / name for name in ("summary.json", "junit.xml", "report.html")}
        write_page(paths["report.html"], report)
        write_junit(paths["junit.xml"], report)
    except OSError as error:
        raise StorageError(f"Cannot write the report into {folder}: {error.strerror}. Choose --output-dir.") from error
    write_json(paths["summary.json"], report)
    return paths
