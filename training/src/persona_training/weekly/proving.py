"""The last two stages: the gate, and the deployment of what passed it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_training.adapters import write_json
from persona_training.display import Display
from persona_training.evaluation import gate
from persona_training.evaluation.service import MemoryService
from persona_training.gguf_export.k_quants import storage_of
from persona_training.joining import join_adapters
from persona_training.ollama import deployment
from persona_training.ollama.gate_report import fault_of
from persona_training.ollama.layers import Layers, layers_of_adapter
from persona_training.ollama.ledger import entries
from persona_training.ollama.modelfile import Form
from persona_training.ollama.server import OllamaAwayError, OllamaServer
from persona_training.ollama.tags import OllamaTags
from persona_training.settings import Settings
from persona_training.weekly.endings import (
    DEPLOY_FAILED,
    GATE_FAILED,
    INCONCLUSIVE,
    NOT_JUDGED,
    OLLAMA_AWAY,
    REPLACED,
    Ending,
)
from persona_training.weekly.journal import StageName
from persona_training.weekly.live import skills_beside
from persona_training.weekly.machine import Result, Results, Stopped
from persona_training.weekly.order import Order

GATE_FILE = "gate.json"


@dataclass(frozen=True)
class GateStage:
    """`casiopy gate --save-report` on the week's adapter; a verdict, whatever it is, is not repeated."""

    order: Order
    settings: Settings
    display: Display
    folder: Path
    name: StageName = "gate"
    failed: Ending = NOT_JUDGED

    def asked(self) -> dict[str, Any]:
        """What decides the verdict beside the weights."""
        order = self.order
        return {
            "battery": order.battery,
            "baseline": order.baseline,
            "prompts": order.prompts,
            "samples": order.samples,
            "skills": list(order.skills),
        }

    def plan(self, done: Results) -> str:
        """Whom it would ask how much."""
        whom = done["train"]["adapter_id"] if "train" in done else "that adapter"
        prompts = f"up to {self.order.prompts}" if self.order.prompts else "all"
        return f"would ask {whom} {prompts} probes of the battery {self.order.battery}, {self.order.samples} times each"

    def run(self, done: Results, since: str) -> Result:
        """Judge and keep the whole report beside the journal, for finding out which rows are to blame."""
        adapter_id = done["train"]["adapter_id"]
        skills, why = skills_beside(self.order.skills, done["export"]["persona"], self.settings)
        self.display.fact("skills", why)
        layers = layers_of_adapter(self.settings.adapters_dir, adapter_id, skills)
        report = self._judged(layers.name, since)
        if report is None:
            release_memory()
            report = gate.run_gate(self._request(self._joined(layers)), self.settings, self._tags(), self.display)
            write_json(self.folder / GATE_FILE, {"since": since, "layers": layers.name, "report": report})
        return {
            "report_id": report["report_id"],
            "verdict": report["verdict"],
            "reasons": list(report["reasons"]),
            "skills": skills,
            "report": str(layers.judged()[0] / "report.html"),
        }

    def _joined(self, layers: Layers) -> str:
        """What the gate is to hear: the adapter, or, with skills, the join of exactly these layers, written if need be."""
        if not layers.skills:
            return layers.name
        if layers.judged()[1] is None:
            self.display.fact("joined", str(join_adapters(layers.top, layers.join, layers.skills)))
        return f"joined/{layers.name}"

    def _request(self, model: str) -> gate.Request:
        order = self.order
        return gate.Request(
            model=model,
            battery=order.battery,
            baseline=order.baseline,
            prompts=order.prompts,
            samples=order.samples,
            save_report=True,
        )

    def _tags(self) -> OllamaTags:
        return OllamaTags(self.settings.adapters_dir, self.order.host)

    def _judged(self, layers: str, since: str) -> dict[str, Any] | None:
        """The report of an earlier attempt that was killed after its verdict."""
        kept = read_kept(self.folder)
        if kept is None or (kept.get("since"), kept.get("layers")) != (since, layers):
            return None
        self.display.fact("gate", "judged by an earlier attempt")
        report: dict[str, Any] = kept["report"]
        return report

    def gone(self, result: Result) -> str | None:
        """Deploying looks at the adapter's own report and says what is wrong with it."""
        return None

    def verdict(self, result: Result) -> tuple[Ending, str] | None:
        """Only a pass goes on."""
        if result["verdict"] == "pass":
            return None
        ending = GATE_FAILED if result["verdict"] == "fail" else INCONCLUSIVE
        reasons = result["reasons"]
        return ending, f"The gate's verdict is {result['verdict']}" + (f": {reasons[0]}" if reasons else ".")


def release_memory() -> None:
    """Give back what the models of the stage before held: this stage loads its own, and a GPU has no room for both."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def read_kept(folder: Path) -> dict[str, Any] | None:
    """The gate's report as the gate stage has kept it, with what it is about; None where there is none, or a damaged one."""
    try:
        value = json.loads((folder / GATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    report = value.get("report") if isinstance(value, dict) else None
    return value if isinstance(report, dict) and "reasons" in report and fault_of(report) is None else None


@dataclass(frozen=True)
class DeployStage:
    """`casiopy deploy` of the week's adapter."""

    order: Order
    settings: Settings
    display: Display
    name: StageName = "deploy"
    failed: Ending = DEPLOY_FAILED

    def asked(self) -> dict[str, Any]:
        """What decides the artefacts beside the weights."""
        return {"quantize": self.order.quantize, "as": self.order.form}

    def plan(self, done: Results) -> str:
        """What would become live where, if the gate lets it."""
        persona = done["export"]["persona"] if "export" in done else self.order.persona or "casiopy"
        tag = f"{persona}:week{self.order.week.number:02d}"
        return f"would, after a pass, create {tag} on {OllamaServer(self.order.host).url} and make it {persona}:latest"

    def run(self, done: Results, since: str) -> Result:
        """Deploy, unless an earlier attempt was killed just after it had."""
        adapter_id = done["train"]["adapter_id"]
        ours = [
            entry
            for entry in entries(self.settings.adapters_dir)
            if (entry.get("adapter_id"), entry.get("event")) == (adapter_id, "deploy") and str(entry.get("at")) >= since
        ]
        if ours:
            self.display.fact("deploy", f"{ours[-1]['tag']} was made live by an earlier attempt")
            return _deployed(ours[-1])
        service, server = MemoryService(self.settings), OllamaServer(self.order.host)
        request = deployment.Request(
            adapter=adapter_id,
            skills=done["gate"]["skills"],
            quantize=storage_of(self.order.quantize),
            form=Form(self.order.form),
        )
        release_memory()
        plan = deployment.make_plan(request, self.settings, service, self.display)
        try:
            entry = deployment.write_and_deploy(plan, server, service, self.settings, self.display)
        except OllamaAwayError as error:
            raise Stopped(OLLAMA_AWAY, error.message) from error
        return _deployed(vars(entry))

    def gone(self, result: Result) -> str | None:
        """Nothing comes after it."""
        return None

    def verdict(self, result: Result) -> tuple[Ending, str] | None:
        """The week goes on to its end, unless its deployment was undone or followed by another one."""
        about = [one for one in entries(self.settings.adapters_dir) if one.get("live") == result["live"]]
        if not about or about[-1].get("digest") == result["digest"]:
            return None
        now = about[-1]
        why = f": {now['why']}" if now.get("why") else ""
        return REPLACED, f"{now['live']} has been {now.get('tag')} since {now.get('at')} ({now.get('event')}{why})."


def _deployed(entry: dict[str, Any]) -> Result:
    return {key: entry[key] for key in ("tag", "live", "digest", "host", "report_id", "at")}
