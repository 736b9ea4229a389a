"""Gate reports that failed, built around the shipped battery without any model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from persona_training.evaluation.battery import Battery, Probe

POLITE = "Claro que sí. Como asistente, estoy aquí para ayudarte. Espero que esto te sirva."
Speak = Callable[[Probe], str]


def metric(name: str, candidate: float, reference: float, **more: Any) -> dict[str, Any]:
    """A metric of a report that failed against the reference."""
    lower = candidate > reference
    allowed = [None, 0.06] if lower else [-0.06, None]
    comparison = {
        "opponent": "reference",
        "difference": candidate - reference,
        "interval": [candidate - reference] * 2,
        "allowed": allowed,
        "verdict": "fail",
    }
    told = {
        "name": name,
        "title": name.replace("_", " "),
        "unit": "share of replies",
        "direction": "lower",
        "explain": "",
    }
    figures = {"floor": None, "reference": reference, "candidate": candidate, "margin": 0.06, "allowed": allowed}
    figures["advisory"] = False
    return {**told, **figures, "comparisons": [comparison], "verdict": "fail", **more}


def report(
    battery: Battery,
    speak: Speak,
    metrics: Sequence[Mapping[str, Any]],
    hard_fails: Sequence[Mapping[str, str]] = (),
    samples: int = 2,
    **voices: Speak,
) -> dict[str, Any]:
    """A report in which the candidate says what `speak` says, and other voices what theirs do; references by default."""
    voices.setdefault("reference", lambda probe: probe.references[0])
    replies = [
        {
            "probe": probe.id,
            "facet": probe.facet,
            "prompt": probe.prompt,
            "sample": sample,
            "candidate": speak(probe),
            "floor": None,
            **{name: voice(probe) for name, voice in voices.items()},
        }
        for probe in battery.probes
        for sample in range(samples)
    ]
    broken = dict.fromkeys(fail["rule"] for fail in hard_fails)
    return {
        "schema": "casiopy/report-v1",
        "report_id": "report-x",
        "verdict": "fail",
        "reasons": [f"{one['title']}: fail." for one in metrics],
        "candidate": {"name": "x", "adapter_id": "x", "weights_sha256": None},
        "metrics": list(metrics),
        "hard_fails": list(hard_fails),
        "hard_rules": [{"rule": rule, "broken": True} for rule in broken],
        "replies": replies,
    }
