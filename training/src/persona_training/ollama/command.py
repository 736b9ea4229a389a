"""`casiopy deploy`, also `python training/deploy_to_ollama.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from persona_training.options import ollama_address, utf8_file


@click.command()
@click.option("--week", type=click.IntRange(1, 53), help="Deploy the newest layer-2 adapter of this ISO week.")
@click.option("--year", type=int, help="ISO year of --week. Default: the newest adapter of that week of any year.")
@click.option("--adapter", help="Deploy this adapter (id or folder) instead, of any layer.")
@click.option("--tag", help="Default: <persona>:weekNN, or <persona>:personality for layer 1.")
@click.option(
    "--host", callback=ollama_address, help="Ollama's address. Default: OLLAMA_HOST, else http://127.0.0.1:11434."
)
@click.option("--force", is_flag=True, help="Deploy without a passing gate report; needs --reason.")
@click.option("--reason", help="Why the gate is overruled; kept with the deployment.")
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
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing, create nothing.")
@click.option("--rollback", is_flag=True, help="Make the previous version live again.")
@click.option("--name", default="casiopy", show_default=True, help="With --rollback: whose live tag.")
def deploy(host: str | None, rollback: bool, name: str, **options: Any) -> None:
    """Make a judged adapter live on Ollama, or roll back.

    Exits with 0 (live), 1 (refused: nothing was written), 2 (wrong options), 3 (no Ollama answers: the artefacts are
    written and the commands for the rest are printed) or 4 (Ollama failed: what was live is untouched).
    """
    from persona_training.display import Display
    from persona_training.evaluation.service import MemoryService
    from persona_training.gguf_export.k_quants import storage_of
    from persona_training.ollama import deployment
    from persona_training.ollama.artefacts import Form
    from persona_training.ollama.server import OllamaServer
    from persona_training.settings import Settings

    settings = Settings.from_env()
    display, server, service = Display(), OllamaServer(host), MemoryService(settings)
    if rollback:
        deployment.undo(name, server, service, settings, display)
        return
    options["quantize"], options["form"] = storage_of(options["quantize"]), Form(options["form"])
    request = deployment.Request(**options)
    plan = deployment.make_plan(request, settings, service, display)
    if request.dry_run:
        display.fact("dry run", f"nothing was written; {plan.names.tag} would be created on {server.url}")
        return
    deployment.write_and_deploy(plan, server, service, settings, display)
