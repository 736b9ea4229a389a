"""The funnel as a person reads it: what went in, what each stage took out and why, what is left."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

_BAR_CELLS = 24


def funnel_table(manifest: dict[str, Any]) -> Table:
    """One line per stage with a bar for what was kept."""
    stages = manifest["funnel"]
    most = max((stage["kept"] for stage in stages), default=0)
    table = Table(title=_title(manifest), title_justify="left", box=None, pad_edge=False)
    table.add_column("stage", style="bold")
    table.add_column("kept", justify="right")
    table.add_column("dropped", justify="right")
    table.add_column("", width=_BAR_CELLS)
    table.add_column("why", style="dim", overflow="fold")
    for stage in stages:
        cells = round(_BAR_CELLS * stage["kept"] / most) if most else 0
        dropped = Text(f"−{stage['dropped']}" if stage["dropped"] else "·", style="red" if stage["dropped"] else "dim")
        bar = Text("█" * cells, style="cyan")
        table.add_row(stage["stage"].replace("_", " "), str(stage["kept"]), dropped, bar, stage["why"])
    return table


def outcome(manifest: dict[str, Any]) -> list[str]:
    """What came out, in sentences."""
    splits = manifest["splits"]
    exchanges = manifest["exchanges"]
    lines = [
        f"{exchanges} exchanges in {splits['train']['rows']} train rows and {splits['val']['rows']} held-out rows "
        f"(whole sessions)"
    ]
    redacted = manifest.get("redacted") or {}
    if redacted:
        lines.append("redacted: " + ", ".join(f"{count} {kind}" for kind, count in redacted.items()))
    lengths = manifest.get("lengths")
    if lengths and lengths["after"]:
        before, after = (lengths[when]["p50"] for when in ("before", "after"))
        lines.append(
            f"half of the replies are shorter than {before} characters before and {after} after (shift {lengths['shift']:.2f})"
        )
    untraceable = manifest.get("untraceable_memory_blocks")
    if untraceable:
        lines.append(
            f"{untraceable} exchanges are shown without the memories they were answered with: nothing says where those are "
            "from (metadata.memory_ids)"
        )
    return lines


def _title(manifest: dict[str, Any]) -> str:
    week = manifest.get("week")
    what = (
        (manifest.get("skill") or "all time")
        if week is None
        else f"ISO week {week['number']} of {week['year']}, {week['timezone']} time"
    )
    return f"{manifest['persona']['name']} · {manifest['type']} · {what}"
