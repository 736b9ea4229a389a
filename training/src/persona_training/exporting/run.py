"""One export from the question to the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from persona_training.exporting.client import ExportClient
from persona_training.exporting.folder import copy_rows, fetch, refuse_foreign
from persona_training.exporting.funnel import funnel_table, outcome


@dataclass(frozen=True)
class Request:
    """What to export, from where, to where. `reason` says why this type was chosen."""

    wanted: dict[str, Any]
    reason: str
    url: str
    api_key: str | None
    exports_dir: Path
    output: Path | None = None
    transport: httpx.BaseTransport | None = None


def run_export(request: Request, console: Console) -> Path:
    """Make the dataset, fetch it, write the copies the commands document, and say where everything is.

    Raises:
        ExportError, StorageError: nothing is left half-written, and a file that is no dataset is not replaced.
    """
    if request.output:
        refuse_foreign(request.output)
    console.print(f"Exporting {request.wanted['type']} ({request.reason}) from {request.url}")
    with ExportClient(request.url, request.api_key, request.transport) as client:
        manifest = client.create(request.wanted)
        console.print(funnel_table(manifest))
        for line in outcome(manifest):
            console.print(line, soft_wrap=True)
        folder, fetched = fetch(client, manifest, request.exports_dir)
    copies = [copy_rows(folder / "train.jsonl", target) for target in _targets(request, manifest)]
    console.print(f"\n{'Wrote' if fetched else 'Unchanged since it was exported:'} {_shown(folder)}", soft_wrap=True)
    for copy in copies:
        console.print(f"train rows also in {_shown(copy)}", soft_wrap=True)
    console.print(_next_step(manifest), soft_wrap=True)
    return folder


def convenience_copy(manifest: dict[str, Any], exports_dir: Path) -> Path:
    """Where the documented commands look.

    personality/personality.jsonl, episodic/week_05.jsonl, skill/<name>.jsonl, preference/dpo.jsonl or preference/kto.jsonl.
    """
    kind, week = str(manifest["type"]), manifest.get("week")
    name = kind
    if week is not None:
        name = f"week_{week['number']:02d}"
    elif kind == "skill":
        name = str(manifest["export_id"]).removeprefix("skill-").rpartition("-")[0]
    elif kind == "preference":
        name = str(manifest["format"])
    return exports_dir / kind / f"{name}.jsonl"


def _targets(request: Request, manifest: dict[str, Any]) -> list[Path]:
    targets = [convenience_copy(manifest, request.exports_dir)]
    return [*targets, request.output] if request.output else targets


def _shown(path: Path) -> str:
    """Relative to where the person stands when that is shorter to read."""
    resolved = path.resolve()
    here = Path.cwd()
    return str(resolved.relative_to(here) if resolved.is_relative_to(here) else resolved)


def _next_step(manifest: dict[str, Any]) -> str:
    week = manifest.get("week")
    more = "" if week is None else f" --week {week['number']}"
    return f"Next: python training/train_{manifest['type']}_lora.py --dataset {manifest['export_id']}{more}"
