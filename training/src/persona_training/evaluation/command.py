"""`casiopy gate`, also `python training/test_personality.py`."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from persona_training.options import check_writable, ollama_address, utf8_file

if TYPE_CHECKING:
    from persona_training.evaluation.report import Report

EXIT_CODES = {"pass": 0, "fail": 1, "inconclusive": 2}
COULD_NOT_JUDGE = 3
STOPPED = "Stopped. What was heard is kept: run the same command again to go on from there."


class GateError(click.ClickException):
    """The gate could not judge. Never confused with a verdict."""

    exit_code = COULD_NOT_JUDGE


@contextmanager
def never_a_verdict() -> Iterator[None]:
    """Turn whatever ends the gate before its verdict into a `GateError`; a defect's traceback is shown before.

    Python exits with 1 after an exception, and so does rich when nobody reads its output any more: both would read as "fail".

    Raises:
        GateError: for every exception but click's own `Exit`, which carries the verdict.
    """
    try:
        yield
    except click.exceptions.Exit:
        raise
    except click.ClickException as error:
        raise GateError(error.format_message()) from error
    except (KeyboardInterrupt, click.Abort) as error:
        raise GateError(STOPPED) from error
    except (BrokenPipeError, SystemExit) as error:
        raise GateError("Nobody reads the output any more, so the gate ended before its verdict.") from error
    except Exception as error:
        traceback.print_exc()
        raise GateError(
            f"There is no verdict: the gate itself failed ({type(error).__name__}, see above). Please report it."
        ) from error


class GateCommand(click.Command):
    """A command whose errors all exit with 3, so that 1 and 2 only ever mean a verdict."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options; a wrong one is an error, not an inconclusive verdict."""
        with never_a_verdict():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run; whatever goes wrong exits with 3."""
        with never_a_verdict():
            return super().invoke(ctx)


@click.command(cls=GateCommand)
@click.option("--model", help="Adapter id or folder, a join (joined/…), or a tag such as casiopy:week05.")
@click.option("--save-report", is_flag=True, help="Write summary.json, results.jsonl, junit.xml and report.html.")
@click.option(
    "--battery",
    default="casiopy",
    show_default=True,
    callback=utf8_file,
    help="Name of a shipped battery, or a .yaml file or folder of them.",
)
@click.option(
    "--weekly",
    type=click.Path(exists=True, path_type=Path),
    callback=utf8_file,
    help="Instead of --battery: a file that `extends:` one with this week's probes.",
)
@click.option(
    "--baseline", help="Adapter or tag that is the reference; 'none' compares without one. Default: what is live."
)
@click.option("--golden", help="Adapter or tag to stay close to; 'none' for none. Default: what `casiopy pin` pinned.")
@click.option(
    "--floor", help="The base: a model folder for an adapter, a tag for a tag. Default: the adapter's own base."
)
@click.option("--samples", default=4, show_default=True, type=click.IntRange(min=1), help="Replies per probe at most.")
@click.option("--prompts", type=click.IntRange(min=1), help="Ask only this many probes, spread over the facets.")
@click.option("--smoke", is_flag=True, help="A quick look: 20 probes x 4, no dialogues, no perplexity.")
@click.option("--no-dialogues", is_flag=True, help="Do not hold the dialogues, so that drift is not measured.")
@click.option(
    "--dialogue-samples",
    type=click.IntRange(min=1),
    help="How often each dialogue is held at most: in the first round, and in the next ones as long as dialogues leave the "
    "verdict open. Default: as --samples.",
)
@click.option("--no-early-stop", is_flag=True, help="Hear every round and look once, at the end.")
@click.option("--redraw", is_flag=True, help="Use no reply that an earlier gate has kept.")
@click.option(
    "--seed",
    default=7,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Of the probe choice, the sampling and the bootstrap.",
)
@click.option(
    "--backend",
    type=click.Choice(["ollama", "openai", "transformers"]),
    help="Default: chosen by what MODEL is. openai: any server with /v1/chat/completions.",
)
@click.option(
    "--host", help="The server's address. Default: OLLAMA_HOST, for openai OPENAI_BASE_URL (and OPENAI_API_KEY)."
)
@click.option(
    "--system-prompt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=utf8_file,
    help="A text file. Default: core memory from the service, else the dataset's own.",
)
@click.option(
    "--rescore",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    callback=utf8_file,
    help="Judge this results.jsonl again, with --battery as it is now; no model is asked.",
)
@click.option("--output-dir", type=click.Path(file_okay=False, path_type=Path), help="Default: the adapter's folder.")
@click.pass_context
def gate(ctx: click.Context, /, **options: Any) -> None:
    """Judge a character's new version: is she still herself?

    Asks a battery of probes in rounds, compares the replies with what is live, with the golden version and with the bare base
    model, stops once the verdict is certain, and exits with 0 (pass), 1 (fail), 2 (inconclusive: more --samples would tell)
    or 3 (could not judge).
    """
    _check_together(ctx)
    if options["save_report"] and options["output_dir"] is not None:
        check_writable(options["output_dir"])
    report = _rescored(options) if options["rescore"] else _judged(ctx, options)
    ctx.exit(EXIT_CODES[report["verdict"]])


def _check_together(ctx: click.Context) -> None:
    from persona_training.evaluation.results import MOST_LOOKS

    options = ctx.params
    given = {name for name in options if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    if options["rescore"]:
        useless = given - {"rescore", "battery", "weekly", "save_report", "output_dir"}
        if useless:
            names = ", ".join(sorted(f"--{name.replace('_', '-')}" for name in useless))
            raise click.UsageError(f"--rescore asks no model: {names} cannot be given with it.")
    elif not options["model"]:
        raise click.UsageError(
            "Missing option '--model'. Name an adapter or a tag, or give a results.jsonl to --rescore."
        )
    if {"battery", "weekly"} <= given:
        raise click.UsageError("--weekly stands in for --battery: the file says itself which battery it extends.")
    if options["samples"] > MOST_LOOKS and not options["no_early_stop"]:
        raise click.UsageError(
            f"--samples {options['samples']}: the gate looks after every round, at most {MOST_LOOKS} times. Add "
            "--no-early-stop to look once, at the end."
        )
    if "dialogue_samples" in given:
        for name in ("smoke", "no_dialogues"):
            if options[name]:
                flag = f"--{name.replace('_', '-')}"
                raise click.UsageError(f"{flag} holds no dialogues, so --dialogue-samples cannot be given with it.")
        if options["dialogue_samples"] > options["samples"]:
            raise click.UsageError(
                f"--dialogue-samples {options['dialogue_samples']}: a round holds each dialogue once, and --samples allows "
                f"{options['samples']} rounds. Raise --samples, too."
            )


def _judged(ctx: click.Context, options: dict[str, Any]) -> Report:
    from persona_training.display import Display
    from persona_training.evaluation.gate import Request, run_gate
    from persona_training.evaluation.openai_replier import OpenAIServer
    from persona_training.ollama.tags import OllamaTags
    from persona_training.settings import Settings

    host, backend = options["host"], options["backend"]
    server = OpenAIServer(host) if backend == "openai" else None
    if server is None:
        ollama_address(ctx, next(one for one in ctx.command.params if one.name == "host"), host)
    ours = {key: options[key] for key in Request.__dataclass_fields__ if key in options and key != "dialogue_samples"}
    request = Request(
        **ours,
        early_stop=not options["no_early_stop"],
        dialogue_samples=0 if options["no_dialogues"] else options["dialogue_samples"],
    )
    settings = Settings.from_env()
    return run_gate(
        request, settings, OllamaTags(settings.adapters_dir, host if server is None else None), Display(), server
    )


def _rescored(options: dict[str, Any]) -> Report:
    from persona_training.display import Display
    from persona_training.evaluation.rescoring import rescore
    from persona_training.settings import Settings

    return rescore(
        options["rescore"],
        options["weekly"] or options["battery"],
        Settings.from_env(),
        Display(),
        save_report=options["save_report"],
        output_dir=options["output_dir"],
    )
