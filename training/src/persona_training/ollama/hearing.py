"""How the watch hears a live tag: the gate's smoke examination, 20 probes four times, through the path production uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from persona_training.display import Display
from persona_training.ollama.server import OllamaServer
from persona_training.ollama.watching import Ear, Heard
from persona_training.settings import Settings

PROMPTS, SAMPLES = 20, 4


def smoke_battery(server: OllamaServer, settings: Settings, display: Display) -> Ear:
    """An ear that runs the gate's smoke examination; every look draws new replies."""
    from persona_training.evaluation.gate import Request, run_gate
    from persona_training.ollama.tags import OllamaTags

    def hear(tag: str) -> Heard:
        request = Request(model=tag, baseline="none", prompts=PROMPTS, samples=SAMPLES)
        return heard_in(run_gate(request, settings, OllamaTags(settings.adapters_dir, server.url), display))

    return hear


def heard_in(report: Mapping[str, Any]) -> Heard:
    """What of a gate report makes the watch act, and what a person should see."""
    broken = [rule for rule in report["hard_rules"] if rule["broken"]]
    hard = [f"{rule['rule']}: {rule['count']} of {rule['replies']} replies ({rule['why']})" for rule in broken]
    soft = [f"{metric['title']}: fail. {metric['explain']}" for metric in _failed(report)]
    return Heard(tuple(hard), tuple(soft))


def _failed(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in report["metrics"] if one["verdict"] == "fail" and not one.get("advisory")]
