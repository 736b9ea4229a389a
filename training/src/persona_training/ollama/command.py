"""`casiopy deploy`, also `python training/deploy_to_ollama.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from persona_training.ollama.options import check_together, ollama_tag
from persona_training.options import ollama_address, utf8_file

if TYPE_CHECKING:
    from persona_training.display import Display
    from persona_training.evaluation.service import MemoryService
    from persona_training.ollama.server import OllamaServer
    from persona_training.settings import Settings


def _span(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    from persona_training.ollama.watching import seconds_of

    try:
        return seconds_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option("--week", type=click.IntRange(1, 53), help="Deploy the newest layer-2 adapter of this ISO week.")
@click.option("--year", type=int, help="ISO year of --week. Default: the newest adapter of that week of any year.")
@click.option("--adapter", help="Deploy this adapter (id or folder) of any layer instead, or a join (joined/…).")
@click.option(
    "--skill",
    "--skills",
    "skills",
    multiple=True,
    metavar="NAME[=WEIGHT]",
    help="Serve a skill with it (repeatable): the skill's name or an adapter id; weight 0.5 to 1, default 1.",
)
@click.option(
    "--tag",
    callback=ollama_tag,
    help="Default: <persona>:weekNN, :personality or :skill-NAME; with skills :weekNN-NAME.",
)
@click.option(
    "--host", callback=ollama_address, help="Ollama's address. Default: OLLAMA_HOST, else http://127.0.0.1:11434."
)
@click.option("--force", is_flag=True, help="Deploy without a passing gate report; needs --reason.")
@click.option("--reason", help="Why the gate is overruled, or why --rollback; kept on record.")
@click.option(
    "--quantize",
    default="Q8_0",
    show_default=True,
    type=click.Choice(["Q8_0", "F16", "F32", "Q6_K", "Q5_K_M", "Q4_K_M"], case_sensitive=False),
    help="How weights are stored in the GGUF file; the last three need llama.cpp's quantiser.",
)
@click.option(
    "--as",
    "form",
    default="merged",
    show_default=True,
    type=click.Choice(["merged", "adapter"]),
    help="Merged into the base, or as an adapter over it (megabytes a week; merged where Ollama refuses or ignores it).",
)
@click.option(
    "--system-prompt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=utf8_file,
    help="A text file. Default: core memory from the service, else the dataset's own.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen; write, create, move nothing.")
@click.option("--rollback", is_flag=True, help="Make the previous version live again.")
@click.option("--watch", is_flag=True, help="Hear the live version now and then; roll back when it breaks a hard rule.")
@click.option("--every", default="6h", show_default=True, callback=_span, help="With --watch: how often (30m, 6h, 1d).")
@click.option("--once", is_flag=True, help="With --watch: look once and exit, for cron.")
@click.option("--name", default="casiopy", show_default=True, help="With --rollback or --watch: whose live tag.")
@click.option("--by", default="command", type=click.Choice(["command", "dashboard"]), hidden=True)
@click.pass_context
def deploy(
    ctx: click.Context, /, host: str | None, rollback: bool, watch: bool, every: float, once: bool, **options: Any
) -> None:
    """Make a judged adapter live on Ollama, roll back, or watch what is live.

    Exits with 0 (live, or watched and fine), 1 (refused: nothing was written), 2 (wrong options), 3 (no Ollama answers: the
    artefacts are written and the commands for the rest are printed), 4 (Ollama failed: what was live is untouched); a watch
    with --once also with 5 (a hard fail, rolled back) or 6 (a hard fail, and nothing better to go back to). A dry run of
    --rollback or --watch ends as the run itself would now.
    """
    from persona_training.display import Display
    from persona_training.evaluation.service import MemoryService
    from persona_training.ollama.server import OllamaServer
    from persona_training.settings import Settings

    check_together(ctx)
    settings = Settings.from_env()
    display, server, service = Display(), OllamaServer(host), MemoryService(settings)
    name, by = options.pop("name"), options.pop("by")
    if rollback:
        from persona_training.ollama.rollback import foresee, undo

        if options["dry_run"]:
            foresee(name, server, service, settings, display)
        else:
            undo(name, server, service, settings, display, why=options["reason"], by=by)
    elif watch:
        found = _watch(name, server, service, settings, display, None if once else every, options["dry_run"])
        ctx.exit(found)
    else:
        _deploy(options, server, service, settings, display)


def _deploy(
    options: dict[str, Any], server: OllamaServer, service: MemoryService, settings: Settings, display: Display
) -> None:
    from persona_training.gguf_export.k_quants import storage_of
    from persona_training.ollama import deployment
    from persona_training.ollama.modelfile import Form

    options["quantize"], options["form"] = storage_of(options["quantize"]), Form(options["form"])
    request = deployment.Request(**options)
    plan = deployment.make_plan(request, settings, service, display)
    if request.dry_run:
        display.fact("dry run", f"nothing was written; {plan.names.tag} would be created on {server.url}")
        return
    deployment.write_and_deploy(plan, server, service, settings, display)


def _watch(
    name: str,
    server: OllamaServer,
    service: MemoryService,
    settings: Settings,
    display: Display,
    every: float | None,
    dry_run: bool,
) -> int:
    """One look's exit code, or a look every so often until the process is ended."""
    from persona_training.ollama.hearing import smoke_battery
    from persona_training.ollama.watching import EXIT_CODES, Watch

    watch = Watch(name, smoke_battery(server, settings, display), server, service, settings, display, dry_run)
    if every is None:
        return EXIT_CODES[watch.look()]
    watch.keep_looking(every)
    return 0
