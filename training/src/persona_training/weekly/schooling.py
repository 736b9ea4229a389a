"""The first two stages: the week's rows, and the layer that learns them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_training.adapters import Manifest, adapters_in, finished_adapter
from persona_training.datasets import load_dataset, read_manifest
from persona_training.display import Display
from persona_training.errors import AdapterError, DatasetError
from persona_training.exporting.client import NothingToExport
from persona_training.exporting.command import export_request
from persona_training.exporting.run import run_export
from persona_training.settings import Settings
from persona_training.training_command import conclude, episodic_request
from persona_training.training_run import RunResult, resume, train
from persona_training.weekly.endings import EXPORT_FAILED, INTERRUPTED, NOTHING_TO_LEARN, TRAINING_FAILED, Ending
from persona_training.weekly.journal import StageName
from persona_training.weekly.live import live_layer_1
from persona_training.weekly.machine import Result, Results, Stopped
from persona_training.weekly.order import Order


@dataclass(frozen=True)
class ExportStage:
    """`casiopy export --type episodic` of the week."""

    order: Order
    settings: Settings
    display: Display
    name: StageName = "export"
    failed: Ending = EXPORT_FAILED

    def asked(self) -> dict[str, Any]:
        """Time zone and least quality decide which exchanges are the week's."""
        order = self.order
        return {"timezone": order.timezone, "min_quality": order.min_quality, "min_rows": order.min_rows}

    def plan(self, done: Results) -> str:
        """Which days, from where."""
        week = self.order.week
        return (
            f"would ask {self.settings.memory_service_url} for {week} ({week.monday:%d %b} to {week.sunday:%d %b %Y}, "
            f"{self.order.timezone}) and stop with code {NOTHING_TO_LEARN.code} below {self.order.min_rows} rows"
        )

    def run(self, done: Results, since: str) -> Result:
        """Export; the same rows make the same dataset, so what an earlier attempt has fetched is found again."""
        request = dataclasses.replace(
            export_request(self._arguments()),
            url=self.settings.memory_service_url,
            api_key=self.settings.api_key,
            exports_dir=self.settings.exports_dir,
        )
        try:
            folder = run_export(request, self.display.console)
        except NothingToExport as error:
            raise Stopped(NOTHING_TO_LEARN, error.message) from None
        manifest = read_manifest(folder / "manifest.json")
        result = {
            "export_id": manifest["export_id"],
            "persona": manifest["persona"]["slug"],
            "rows": manifest["splits"]["train"]["rows"],
            "held_out": manifest["splits"]["val"]["rows"],
            "exchanges": manifest.get("exchanges"),
        }
        if result["rows"] < self.order.min_rows:
            raise Stopped(
                NOTHING_TO_LEARN,
                f"{result['export_id']} has {result['rows']} rows to learn, fewer than --min-rows {self.order.min_rows}.",
            )
        return result

    def _arguments(self) -> list[str]:
        order = self.order
        arguments = ["--type", "episodic", "--week", str(order.week.number), "--year", str(order.week.year)]
        arguments += ["--timezone", order.timezone]
        arguments += ["--persona", order.persona] if order.persona else []
        arguments += ["--min-quality", str(order.min_quality)] if order.min_quality is not None else []
        # Whoever learned the questions would pass by heart.
        return [*arguments, "--battery", order.battery]

    def gone(self, result: Result) -> str | None:
        """The dataset is not there any more, or not what it was."""
        try:
            load_dataset([result["export_id"]], self.settings.exports_dir)
        except DatasetError as error:
            return error.message
        return None

    def verdict(self, result: Result) -> tuple[Ending, str] | None:
        """A dataset that is there goes on."""
        return None


@dataclass(frozen=True)
class TrainStage:
    """`casiopy train-episodic` on the exported rows, on top of the live layer 1."""

    order: Order
    settings: Settings
    display: Display
    name: StageName = "train"
    failed: Ending = TRAINING_FAILED

    def asked(self) -> dict[str, Any]:
        """What decides the weights beside the rows."""
        order = self.order
        return {"recipe": str(order.recipe) if order.recipe else None, "parent": order.parent, "device": order.device}

    def plan(self, done: Results) -> str:
        """On what it would stand."""
        persona = done["export"]["persona"] if "export" in done else self.order.persona
        parent, why = live_layer_1(self.order.parent, persona, self.settings)
        rows = f"{done['export']['rows']} rows" if "export" in done else "those rows"
        recipe = f"with {self.order.recipe}" if self.order.recipe else "with this machine's recipe"
        return f"would train layer 2 on {rows}, on top of {parent or 'layer 1'} ({why}), {recipe}"

    def run(self, done: Results, since: str) -> Result:
        """Train; a run that an earlier attempt has begun is resumed, and one it has finished is taken as it is."""
        exported = done["export"]
        begun = self._begun(exported["export_id"], since)
        if begun is None:
            result = train(self._request(exported), self.settings, self.display)
        elif begun[1]["status"] == "finished":
            self.display.fact("adapter", f"{begun[0].name} was finished by an earlier attempt")
            result = RunResult(*begun)
        else:
            self.display.fact("adapter", f"{begun[0].name} is {begun[1]['status']}; it is resumed")
            result = resume(begun[0].name, self.settings, self.display)
        if result.interrupted:
            raise Stopped(INTERRUPTED, f"The training of {result.folder.name} was stopped; nothing done is lost.")
        conclude(result, self.settings, self.display)
        return _trained(result)

    def _request(self, exported: Result) -> Any:
        order = self.order
        week = ["--week", str(order.week.number), "--year", str(order.week.year)]
        parent, why = live_layer_1(order.parent, exported["persona"], self.settings)
        self.display.fact("layer 1", f"{parent or 'the newest finished one on this base'}: {why}")
        given = {
            "--recipe": order.recipe,
            "--parent": parent,
            "--device": order.device,
            "--allow-personal-data": order.allow_personal_data,
        }
        options = [text for name, value in given.items() if value is not None for text in (name, str(value))]
        dataset = str(self.settings.exports_dir / exported["export_id"])
        return episodic_request(["--dataset", dataset, *week, *options], self.display)

    def _begun(self, export_id: str, since: str) -> tuple[Path, Manifest] | None:
        """The newest run on these rows that this stage has begun, finished or not."""
        for folder, manifest in adapters_in(self.settings.adapters_dir):
            if manifest["created_at"] < since:
                return None
            own = manifest["layer"] == 2 and manifest["dataset"]["export_id"] == export_id
            if own and not manifest.get("rebuild"):
                return folder, manifest
        return None

    def gone(self, result: Result) -> str | None:
        """The adapter is not there any more, or its weights are not what they were."""
        try:
            finished_adapter(self.settings.adapters_dir / result["adapter_id"])
        except AdapterError as error:
            return error.message
        return None

    def verdict(self, result: Result) -> tuple[Ending, str] | None:
        """A finished adapter goes on."""
        return None


def _trained(result: RunResult) -> Result:
    manifest, figures = result.manifest, result.manifest["result"]
    return {
        "adapter_id": manifest["adapter_id"],
        "parent": manifest["parent"]["adapter_id"] if manifest["parent"] else None,
        "base_model": manifest["base_model"]["name"],
        "recipe": manifest["recipe"]["name"],
        "steps": figures["steps"],
        "train_loss": figures["train_loss"],
        "eval_loss": figures["eval_loss"],
        "seconds": figures["seconds"],
    }
