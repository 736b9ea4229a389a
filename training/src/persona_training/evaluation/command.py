"""`casiopy gate`, also `python training/test_personality.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from persona_training.options import check_writable, ollama_address, utf8_file

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 2}
COULD_NOT_JUDGE = 3


class GateError(click.ClickException):
    """The gate could not judge. Never confused with a verdict."""

    exit_code = COULD_NOT_JUDGE


class GateCommand(click.Command):
    """A command whose errors all exit with 3, so that 1 and 2 only ever mean a verdict."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options; a wrong one is an error, not an inconclusive verdict."""
        try:
            return super().make_context(*args, **kwargs)
        except click.ClickException as error:
            raise GateError(error.format_message()) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run; whatever the operator has to put right exits with 3."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            raise GateError(error.format_message()) from error


@click.command(cls=GateCommand)
@click.option("--model", required=True, help="Adapter id or folder, or an Ollama tag such as casiopy:week05.")
@click.option("--save-report", is_flag=True, help="Write report.json, results.jsonl, junit.xml and report.html.")
@click.option(
    "--battery",
    default="casiopy",
    show_default=True,
    callback=utf8_file,
    help="Name of a shipped battery, or a .yaml file.",
)
@click.option("--baseline", help="Adapter or tag to compare with; 'none' compares with the base model only.")
@click.option(
    "--floor", help="The base: a model folder for an adapter, a tag for a tag. Default: the adapter's own base."
)
@click.option("--samples", default=2, show_default=True, type=click.IntRange(min=1), help="Replies per probe.")
@click.option("--prompts", type=click.IntRange(min=1), help="Ask only this many probes, spread over the facets.")
@click.option(
    "--seed",
    default=7,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Of the probe choice, the sampling and the bootstrap.",
)
@click.option("--backend", type=click.Choice(["transformers", "ollama"]), help="Default: chosen by what MODEL is.")
@click.option(
    "--host", callback=ollama_address, help="Ollama's address. Default: OLLAMA_HOST, else http://127.0.0.1:11434."
)
@click.option(
    "--system-prompt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=utf8_file,
    help="A text file. Default: core memory from the service, else the dataset's own.",
)
@click.option("--output-dir", type=click.Path(file_okay=False, path_type=Path), help="Default: the adapter's folder.")
@click.pass_context
def gate(ctx: click.Context, /, host: str | None, **options: Any) -> None:
    """Judge a character's new version: is she still herself?

    Asks a battery of probes, compares the replies with the version she grew from and with the bare base model, and
    exits with 0 (pass), 1 (fail), 2 (inconclusive: more --samples would tell) or 3 (could not judge).
    """
    from persona_training.display import Display
    from persona_training.evaluation.gate import Request, run_gate
    from persona_training.ollama.tags import OllamaTags
    from persona_training.settings import Settings

    if options["save_report"] and options["output_dir"] is not None:
        check_writable(options["output_dir"])
    settings = Settings.from_env()
    report = run_gate(Request(**options), settings, OllamaTags(settings.adapters_dir, host), Display())
    ctx.exit(EXIT_CODES[report["verdict"]])
