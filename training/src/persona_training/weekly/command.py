"""`casiopy week`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from persona_training.options import Share, ollama_address, utf8_file
from persona_training.weekly.endings import code_table

if TYPE_CHECKING:
    from persona_training.display import Display
    from persona_training.settings import Settings
    from persona_training.weekly.journal import Journal, StageName
    from persona_training.weekly.machine import Stage
    from persona_training.weekly.order import Order

SLUG = re.compile("[a-z0-9][a-z0-9_-]{0,63}")  # as the memory service takes it
_STAGES = ("export", "train", "gate", "deploy")
_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in code_table())


def _slug(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A callback for --persona: it becomes part of a folder's name before the service is asked whether she exists."""
    if value is not None and not SLUG.fullmatch(value):
        raise click.BadParameter(
            f"{value!r} is no slug: up to 64 small letters, digits, - and _, the first a letter or digit."
        )
    return value


@click.command(epilog=_EPILOG)
@click.option("--week", "number", type=click.IntRange(1, 53), help="ISO week. Default: the last complete one.")
@click.option("--year", type=click.IntRange(1970, 9998), help="ISO year. Default: the latest that has had that week.")
@click.option("--timezone", default="Europe/Madrid", show_default=True, help="IANA zone the week is meant in.")
@click.option("--persona", callback=_slug, help="Slug of the persona. Default: the service's.")
@click.option("--min-quality", type=Share(0, 1), help="Of an exchange; see `casiopy export`.")
@click.option("--min-rows", type=click.IntRange(min=1), help="Fewer are nothing to learn. Default: training's own 10.")
@click.option(
    "--recipe",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Of layer 2; see training/configs/. Default: as `casiopy train-episodic` chooses.",
)
@click.option("--parent", metavar="ADAPTER_ID", help="Layer 1 to train on. Default: the live one, else the newest.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Instead of the recipe's.")
@click.option("--allow-personal-data", metavar="REASON", help="See `casiopy train-episodic`.")
@click.option(
    "--battery",
    default="casiopy",
    show_default=True,
    callback=utf8_file,
    help="Name of a shipped battery, or a .yaml file or folder, such as one that `extends:` it with the week's probes.",
)
@click.option("--baseline", help="What the gate compares with; see `casiopy gate`.")
@click.option("--prompts", type=click.IntRange(min=1), help="Probes the gate asks. Default: all of the battery.")
@click.option("--samples", type=click.IntRange(min=1), default=4, show_default=True, help="Replies per probe at most.")
@click.option(
    "--skill",
    "--skills",
    "skills",
    multiple=True,
    metavar="NAME[=WEIGHT]",
    help="Layer 3 to judge and serve beside the week (repeatable); 'none' for none. Default: those that are live.",
)
@click.option("--host", callback=ollama_address, help="Ollama's address. Default: OLLAMA_HOST, else loopback.")
@click.option("--quantize", default="Q8_0", show_default=True, help="How weights are stored; see `casiopy deploy`.")
@click.option(
    "--as", "form", default="merged", show_default=True, type=click.Choice(["merged", "adapter"]), help="As there."
)
@click.option("--no-deploy", is_flag=True, help="Stop after the gate.")
@click.option("--again", type=click.Choice(_STAGES), help="Do this stage, and all after it, once more.")
@click.option("--dry-run", is_flag=True, help="Say what each stage would do; ask nobody, write nothing.")
@click.pass_context
def week(
    ctx: click.Context,
    /,
    number: int | None,
    year: int | None,
    again: StageName | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Learn a week: export it, train layer 2, judge her, deploy or report.

    What is done already is not done again: after a failure, Ctrl-C or a power cut the same command goes on where the last
    one stopped. Unless she passes the gate, what is deployed stays as it is. Everything is written to
    lora_adapters/weeks/<week>/.
    """
    from persona_training.display import Display
    from persona_training.settings import Settings
    from persona_training.weekly.calendar_week import chosen_week, now_here
    from persona_training.weekly.journal import read_journal
    from persona_training.weekly.order import Order

    if again == _STAGES[-1] and options["no_deploy"]:
        raise click.UsageError(f"--again {again} deploys once more, and --no-deploy does not deploy. Leave one out.")
    chosen, why = chosen_week(number, year, now_here(), options["timezone"])
    given = {name: value for name, value in options.items() if value is not None}
    order, settings, display = Order(week=chosen, **given), Settings.from_env(), Display()
    _check(order, settings)
    display.fact("week", f"{chosen}, {chosen.monday} to {chosen.sunday}: {why}")
    journal = _standing(read_journal(settings.adapters_dir, chosen, order.persona), again)
    stages = stages_of(order, settings, display, journal)[: -1 if order.no_deploy else None]
    if dry_run:
        from persona_training.weekly.machine import plans

        for name, plan in plans(stages, journal):
            display.fact(name, plan)
        display.fact("dry run", "nobody was asked, nothing was written")
        return
    ctx.exit(_carry_out(order, settings, display, stages, again))


def _standing(journal: Journal, again: StageName | None) -> Journal:
    """The journal as this run goes on from it, the file untouched; refused where it is damaged."""
    from persona_training.weekly.journal import check_results

    return check_results(journal if again is None else journal.without(again))


def stages_of(order: Order, settings: Settings, display: Display, journal: Journal) -> list[Stage]:
    """The four stages of a week."""
    from persona_training.weekly.proving import DeployStage, GateStage
    from persona_training.weekly.schooling import ExportStage, TrainStage

    return [
        ExportStage(order, settings, display),
        TrainStage(order, settings, display),
        GateStage(order, settings, display, journal.folder),
        DeployStage(order, settings, display),
    ]


def _check(order: Order, settings: Settings) -> None:
    """Refuse what a later stage would refuse, before hours are spent on those before it."""
    from persona_training.errors import PersonaTrainingError
    from persona_training.evaluation.battery import load_battery
    from persona_training.evaluation.cast_of_adapters import folder_of
    from persona_training.evaluation.request import NONE
    from persona_training.evaluation.results import MOST_LOOKS
    from persona_training.gguf_export.k_quants import require_quantiser, storage_of
    from persona_training.ollama.layers import skill_named
    from persona_training.parents import adapter_folder
    from persona_training.weekly.live import NO_SKILLS

    if order.samples > MOST_LOOKS:
        raise click.UsageError(
            f"--samples {order.samples}: the gate looks after every round, at most {MOST_LOOKS} times."
        )
    checks: list[tuple[str, str, Callable[[str], object]]] = [
        ("--battery", order.battery, load_battery),
        ("--quantize", order.quantize, lambda name: require_quantiser(storage_of(name))),
    ]
    if order.parent is not None:
        checks.append(("--parent", order.parent, lambda name: adapter_folder(name, settings.adapters_dir)))
    if order.baseline not in (None, NONE):
        checks.append(("--baseline", str(order.baseline), lambda name: folder_of(name, settings)))
    if order.skills != NO_SKILLS:
        checks += [("--skill", named, lambda name: skill_named(name, settings.adapters_dir)) for named in order.skills]
    for option, given, check in checks:
        try:
            check(given)
        except (PersonaTrainingError, ValueError) as error:
            raise click.UsageError(f"{option} {given}: {error}") from error


def _carry_out(order: Order, settings: Settings, display: Display, stages: list[Stage], again: Any) -> int:
    """Run under the lock, write and print the report; returns the exit code."""
    from rich.markdown import Markdown

    from persona_training.weekly.endings import DEPLOYED, PASSED
    from persona_training.weekly.journal import read_journal
    from persona_training.weekly.lock import alone
    from persona_training.weekly.machine import run_week, sigterm_interrupts
    from persona_training.weekly.report import week_report, write_report

    with alone(settings.adapters_dir, str(order.week)), sigterm_interrupts():
        journal = read_journal(settings.adapters_dir, order.week, order.persona)  # as nobody else changes it any more
        if again is not None:
            journal.forget(again)
        outcome = run_week(stages, journal, DEPLOYED if len(stages) == len(_STAGES) else PASSED, display)
        text = write_report(journal.folder, week_report(journal, outcome, order, settings))
    display.console.print()
    console = display.console
    console.print(Markdown(text) if console.is_terminal else text, markup=False, soft_wrap=not console.is_terminal)
    display.fact("report", f"{journal.folder / 'report.md'}; exit code {outcome.ending.code}")
    return outcome.ending.code
