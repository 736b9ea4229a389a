"""`casiopy export`, also `python training/export_training_data.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from persona_training.options import Share

if TYPE_CHECKING:
    from persona_training.exporting.run import Request


@click.command()
@click.option(
    "--type",
    "kind",
    type=click.Choice(["personality", "episodic", "skill", "preference"]),
    help="Default: episodic with --week, skill with --skill, else personality.",
)
@click.option("--week", type=click.IntRange(1, 53), help="ISO week of an episodic dataset.")
@click.option("--year", type=click.IntRange(1970, 9998), help="ISO year of the week. Default: the current one.")
@click.option("--timezone", default="Europe/Madrid", show_default=True, help="IANA zone the week is meant in.")
@click.option(
    "--skill",
    help="Name of a skill: exchanges with `skill` of that name in their own or their session's metadata, and those of a topic "
    "with that label.",
)
@click.option(
    "--format",
    "row_format",
    type=click.Choice(["chatml", "sharegpt", "alpaca", "dpo", "kto"]),
    help="Default: chatml; with --type preference, dpo. dpo and kto go with it alone.",
)
@click.option(
    "--battery",
    "batteries",
    multiple=True,
    help="Another battery none of whose texts a row may hold: a .yaml file, or a folder of them. Those of the shipped ones "
    "never are.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the train rows to this file. A file that is there is replaced only if it holds dataset rows.",
)
@click.option("--min-quality", type=Share(0, 1), default=0.6, show_default=True)
@click.option("--persona", help="Slug of the persona. Default: the service's.")
@click.option(
    "--val-share",
    type=Share(0, 1, max_open=True),
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
def export(kind: str | None, week: int | None, year: int | None, skill: str | None, **options: Any) -> None:
    """Export a dataset: what the character may learn from, with consent, redacted and pinned by hashes."""
    from rich.console import Console

    from persona_training.exporting.run import run_export

    run_export(_request(kind, week, year, skill, options), Console(highlight=False))


def export_request(arguments: Sequence[str]) -> Request:
    """What `casiopy export ARGUMENTS` would ask for.

    Raises:
        click.UsageError: it would not take these arguments.
    """
    return _request(**_grouped(export.make_context("export", list(arguments)).params))


def _grouped(given: dict[str, Any]) -> dict[str, Any]:
    named = ("kind", "week", "year", "skill")
    options = {name: value for name, value in given.items() if name not in named}
    return {name: given[name] for name in named} | {"options": options}


def _request(
    kind: str | None, week: int | None, year: int | None, skill: str | None, options: dict[str, Any]
) -> Request:
    from persona_training.exporting.probes import gate_prompts
    from persona_training.exporting.run import Request
    from persona_training.settings import Settings

    kind, reason = _kind(kind, week, year, skill)
    row_format = _format(kind, options["row_format"])
    settings = Settings.from_env(root=_root())
    wanted: dict[str, Any] = {"type": kind, "format": row_format}
    wanted |= {key: options[key] for key in ("timezone", "min_quality", "val_share", "seed", "max_turns")}
    given = {"week": week, "year": year, "skill": skill, "persona": options["persona"]}
    wanted |= {key: value for key, value in given.items() if value}
    wanted["exclude_prompts"] = gate_prompts(options["batteries"])
    return Request(
        wanted=wanted,
        reason=reason,
        url=options["url"] or settings.memory_service_url,
        api_key=options["api_key"] or settings.api_key,
        exports_dir=options["exports_dir"] or settings.exports_dir,
        output=options["output"],
    )


def _root() -> Path:
    """The project of the folder one stands in; outside of any, the project this program belongs to."""
    from persona_training.settings import project_root

    here = project_root()
    return here if (here / "exports").is_dir() else project_root(Path(__file__).parent)


def _kind(kind: str | None, week: int | None, year: int | None, skill: str | None) -> tuple[str, str]:
    """The type of dataset and why; raises a usage error for what does not go together."""
    reason = "as asked"
    if kind is None:
        kind = "episodic" if week is not None else "skill" if skill is not None else "personality"
        given = {"episodic": "--week given", "skill": "--skill given"}
        reason = given.get(kind, "no --type, --week or --skill given")
    if kind == "episodic" and week is None:
        raise click.UsageError("An episodic dataset needs --week, e.g. --type episodic --week 5 --year 2026.")
    if kind != "episodic" and (week is not None or year is not None):
        raise click.UsageError(f"--week and --year go with --type episodic; a {kind} dataset covers all time.")
    if kind == "skill" and skill is None:
        raise click.UsageError("A skill dataset needs its name: --type skill --skill NAME.")
    if kind != "skill" and skill is not None:
        raise click.UsageError(f"--skill goes with --type skill, not with {kind}.")
    return kind, reason


def _format(kind: str, row_format: str | None) -> str:
    """The format of the rows; raises a usage error for one that the type cannot have."""
    chosen = row_format or ("dpo" if kind == "preference" else "chatml")
    if (chosen in ("dpo", "kto")) != (kind == "preference"):
        raise click.UsageError(
            "The formats dpo and kto go with --type preference; chatml, sharegpt and alpaca with the other types."
        )
    return chosen
