"""`casiopy export`, also `python training/export_training_data.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.option(
    "--type",
    "kind",
    type=click.Choice(["personality", "episodic"]),
    help="Default: episodic with --week, else personality.",
)
@click.option("--week", type=click.IntRange(1, 53), help="ISO week of an episodic dataset.")
@click.option("--year", type=click.IntRange(1970, 9998), help="ISO year of the week. Default: the current one.")
@click.option("--timezone", default="Europe/Madrid", show_default=True, help="IANA zone the week is meant in.")
@click.option("--format", "row_format", type=click.Choice(["chatml"]), default="chatml", show_default=True)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Also write the train rows to this file."
)
@click.option("--min-quality", type=click.FloatRange(0, 1), default=0.6, show_default=True)
@click.option("--persona", help="Slug of the persona. Default: the service's.")
@click.option(
    "--val-share",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.1,
    show_default=True,
    help="Share of sessions held out.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Of the split and the pseudonyms.")
@click.option(
    "--max-turns", type=click.IntRange(1, 100), default=6, show_default=True, help="Longest conversation in one row."
)
@click.option("--url", help="The memory service. Default: MEMORY_SERVICE_URL, else http://127.0.0.1:8820.")
@click.option("--api-key", help="Its key, when it asks for one. Default: API_KEY.")
@click.option(
    "--exports-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Default: EXPORTS_DIR, else exports/ of the project.",
)
def export(kind: str | None, week: int | None, year: int | None, **options: Any) -> None:
    """Export a dataset: what the character may learn from, with consent, redacted and pinned by hashes."""
    from rich.console import Console

    from persona_training.exporting.run import Request, run_export
    from persona_training.settings import Settings

    kind, reason = _kind(kind, week, year)
    settings = Settings.from_env(root=_root())
    wanted: dict[str, Any] = {"type": kind, "format": options["row_format"]}
    wanted |= {key: options[key] for key in ("timezone", "min_quality", "val_share", "seed", "max_turns")}
    wanted |= {key: value for key, value in (("week", week), ("year", year), ("persona", options["persona"])) if value}
    request = Request(
        wanted=wanted,
        reason=reason,
        url=options["url"] or settings.memory_service_url,
        api_key=options["api_key"] or settings.api_key,
        exports_dir=options["exports_dir"] or settings.exports_dir,
        output=options["output"],
    )
    run_export(request, Console(highlight=False))


def _root() -> Path:
    """The project of the folder one stands in; outside of any, the project this program belongs to."""
    from persona_training.settings import project_root

    here = project_root()
    return here if (here / "exports").is_dir() else project_root(Path(__file__).parent)


def _kind(kind: str | None, week: int | None, year: int | None) -> tuple[str, str]:
    """The type of dataset and why; raises a usage error for what does not go together."""
    reason = "as asked"
    if kind is None:
        kind = "personality" if week is None else "episodic"
        reason = "no --type and no --week given" if week is None else "--week given"
    if kind == "episodic" and week is None:
        raise click.UsageError("An episodic dataset needs --week, e.g. --type episodic --week 5 --year 2026.")
    if kind == "personality" and (week is not None or year is not None):
        raise click.UsageError("--week and --year go with --type episodic; a personality dataset covers all time.")
    return kind, reason
