"""`casiopy probes draft` and `casiopy probes check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from persona_training.options import Share, utf8_file

if TYPE_CHECKING:
    from rich.console import Console

    from persona_training.evaluation.battery import Battery
    from persona_training.probes.card import Card
    from persona_training.probes.draft import Draft


@click.group()
def probes() -> None:
    """Batteries: what a character is asked before a new version of her goes live."""


@probes.command()
@click.option(
    "--card", type=click.Path(dir_okay=False, path_type=Path), help="A character card: PNG or JSON, version 1 to 3."
)
@click.option("--persona", help="Slug of a persona of the memory service. With --week: default the battery's persona.")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The .yaml file to write.")
@click.option("--force", is_flag=True, help="Write over a file that is there already.")
@click.option("--language", type=click.Choice(["es", "en"]), help="Default: the persona's, else by what she says.")
@click.option("--week", type=click.IntRange(1, 53), help="Draft the facts of an ISO week, on top of another battery.")
@click.option("--year", type=click.IntRange(1970, 9998), help="ISO year of the week. Default: the current one.")
@click.option("--timezone", default="Europe/Madrid", show_default=True, help="IANA zone the week is meant in.")
@click.option(
    "--extends",
    default="casiopy",
    show_default=True,
    help="With --week: the battery underneath, by name or path.",
)
@click.option(
    "--min-quality",
    type=Share(0, 1),
    default=0.6,
    show_default=True,
    help="Of the replies taken from the service.",
)
@click.option("--url", help="The memory service. Default: MEMORY_SERVICE_URL, else http://127.0.0.1:8820.")
@click.option("--api-key", help="Its key, when it asks for one. Default: API_KEY.")
def draft(output: Path, force: bool, week: int | None, year: int | None, **options: Any) -> None:
    """Draft a battery from a card, from what the memory service knows of a persona, or from both; or the facts of a week."""
    from rich.console import Console

    from persona_training.probes.draft import check_target, write_draft

    if week is None and year is not None:
        raise click.UsageError("--year goes with --week.")
    if week is not None and options["card"] is not None:
        raise click.UsageError("--card goes with a whole battery, not with --week.")
    if week is None and options["card"] is None and options["persona"] is None:
        raise click.UsageError("Give --card FILE, --persona SLUG or both; or --week N for the facts of a week.")
    check_target(output, force)
    drafted = _whole(options) if week is None else _of_week(output, week, year, options)
    battery = write_draft(output, drafted)
    console = Console(highlight=False)
    console.print(f"Wrote {output}: {drafted.places} places are marked LOOK.", soft_wrap=True)
    _show_counts(console, battery)
    console.print(f"Next: read it, then `casiopy probes check {output}`.", soft_wrap=True)


def _whole(options: dict[str, Any]) -> Draft:
    from persona_training.probes.drafting import Known, draft_battery, slug_of

    path, slug, language = options["card"], options["persona"], options["language"]
    if slug is None:
        card = _card(path, language)
        return draft_battery(Known(slug_of(card.name), card.name, language, card))
    with _source(options) as source:
        persona = source.persona(slug)
        language = language or persona.language
        known = Known(
            slug,
            persona.name,
            language,
            None if path is None else _card(path, language),
            source.core_memory(slug),
            source.best_exchanges(slug, options["min_quality"]),
        )
    return draft_battery(known)


def _card(path: Path, language: str | None) -> Card:
    """The card; who is spoken to is named in its own language, which is heard first where nobody says it."""
    from persona_training.probes.card import read_card
    from persona_training.probes.speech import language_of
    from persona_training.probes.template import load_template

    language = language or language_of(read_card(path, "").replies)
    return read_card(path, load_template(language).viewer if language else "")


def _of_week(output: Path, week: int, year: int | None, options: dict[str, Any]) -> Draft:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from persona_training.evaluation.battery import load_battery
    from persona_training.probes.service import bounds_of_week
    from persona_training.probes.weekly import draft_week, extends_from

    base = load_battery(options["extends"])
    bounds_of_week(year or 2024, 1, options["timezone"])  # an unknown zone is said before the clock is asked
    year = year or datetime.now(ZoneInfo(options["timezone"])).isocalendar().year
    start, end = bounds_of_week(year, week, options["timezone"])
    with _source(options) as source:
        facts = source.facts_of_week(options["persona"] or base.persona, start, end)
    language = options["language"] or base.language
    return draft_week(base, extends_from(options["extends"], output), year, week, facts, language=language)


def _source(options: dict[str, Any]) -> Any:
    from persona_training.probes.service import PersonaSource
    from persona_training.settings import Settings

    settings = Settings.from_env()
    return PersonaSource(options["url"] or settings.memory_service_url, options["api_key"] or settings.api_key)


@probes.command()
@click.argument("battery", callback=utf8_file)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    help="An export, by id or folder, or a .jsonl file that must hold none of its prompts. May be given several times.",
)
@click.pass_context
def check(ctx: click.Context, battery: str, datasets: tuple[str, ...]) -> None:
    """Check BATTERY, a .yaml file, a folder of them or a shipped name: is it fit to judge by?

    Exits with 0, also where it is thin, and with 1 where something has to be put right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from persona_training.datasets import load_dataset
    from persona_training.evaluation.battery import load_battery
    from persona_training.probes.checking import check_battery
    from persona_training.settings import Settings

    loaded = load_battery(battery)
    console = Console(highlight=False)
    exports_dir = Settings.from_env().exports_dir
    remarks = check_battery(loaded, [load_dataset([name], exports_dir) for name in datasets], _marks(battery))
    _show_counts(console, loaded)
    if remarks:
        table = Table("", "where", "what")
        for remark in remarks:
            style = "bold red" if remark.level == "wrong" else "yellow"
            table.add_row(Text(remark.level, style), Text(remark.place), Text(remark.text))
        console.print(table)
    wrong = sum(remark.level == "wrong" for remark in remarks)
    console.print(f"{wrong} to put right, {len(remarks) - wrong} thin.")
    ctx.exit(1 if wrong else 0)


def _show_counts(console: Console, battery: Battery) -> None:
    from persona_training.probes.checking import facet_counts

    counts = ", ".join(f"{facet} {count}" for facet, count in facet_counts(battery).items())
    console.print(f"{battery.name}: {len(battery.probes)} probes ({counts}),", soft_wrap=True)
    console.print(
        f"{len(battery.markers)} markers, {len(battery.dialogues)} dialogues, {len(battery.corpora.persona)} held-out pairs, "
        f"{len(battery.corpora.general)} general texts.",
        soft_wrap=True,
    )


def _marks(battery: str) -> int:
    from persona_training.evaluation.battery_source import SUFFIXES
    from persona_training.probes.draft import LOOK

    path = Path(battery)
    files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
    mark = f"# {LOOK}"
    lines = (line for file in files if file.suffix in SUFFIXES for line in file.read_text("utf-8").splitlines())
    return sum(line.strip().startswith(mark) for line in lines)
