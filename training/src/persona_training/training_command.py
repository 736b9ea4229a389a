"""`casiopy train-personality`, `train-episodic`, `train-skill` and `train-preference`.

The scripts in `training/` are the same commands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from persona_training.adapters import Manifest, read_adapter
from persona_training.backends import BACKENDS
from persona_training.backends.following import follow
from persona_training.cards import choose_card
from persona_training.config import LARGEST_SEED, Recipe, read_recipe
from persona_training.datasets import load_dataset
from persona_training.device_queue import memory_for_next_run
from persona_training.display import Display
from persona_training.errors import RecipeError
from persona_training.options import said
from persona_training.parents import adapter_folder
from persona_training.preparation import Request
from persona_training.processes import this_process
from persona_training.rebuild import HALF_LIFE_WEEKS
from persona_training.registry import register
from persona_training.settings import Settings
from persona_training.training_run import RunResult, look, resume, train

CONFIGS = Path(__file__).parents[2] / "configs"
# What a shell reports for a program ended by Ctrl-C.
EXIT_INTERRUPTED = 130

SCRIPTS = {
    "personality": "train_personality_lora.py",
    "episodic": "train_episodic_lora.py",
    "skill": "train_skill_lora.py",
    "preference": "train_preference_lora.py",
}

F = TypeVar("F", bound=Callable[..., Any])


def _shared_options(command: F) -> F:
    options = (
        click.argument("more_files", nargs=-1, metavar="[MORE .jsonl FILES]"),
        click.option(
            "--dataset", multiple=True, help="Export id, export folder, its manifest.json, or .jsonl file (repeatable)."
        ),
        click.option(
            "--recipe", "--config", "config", type=click.Path(path_type=Path), help="YAML file; see training/configs/."
        ),
        click.option(
            "--card", type=click.IntRange(min=1), metavar="GB", help="Settings for such a card, not for what is free."
        ),
        click.option("--base-model", help='"tiny" (built here), a model folder, or a model hub id.'),
        click.option("--output-dir", type=click.Path(path_type=Path), help="Instead of LORA_ADAPTERS_DIR."),
        click.option("--resume", "resume_id", metavar="ADAPTER_ID", help="Continue an interrupted run as it was."),
        click.option("--register", "register_id", metavar="ADAPTER_ID", help="Only tell the memory service about it."),
        click.option("--max-steps", type=click.IntRange(min=1), help="Exactly this many optimiser steps."),
        click.option(
            "--seed", type=click.IntRange(0, LARGEST_SEED), help="Of weights, order, replay draw and dropout."
        ),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Instead of the recipe's."),
        click.option("--backend", type=click.Choice(list(BACKENDS)), help="Instead of the recipe's."),
        click.option("--preflight-only", is_flag=True, help="Check everything a run would check, and begin none."),
        click.option("--no-wait", is_flag=True, help="Exit with code 3 if another run has the device."),
        click.option(
            "--allow-personal-data",
            metavar="REASON",
            callback=said,
            help="Learn rows that hold some; the reason goes into the manifest.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _parent_option(command: F) -> F:
    return click.option(
        "--parent", metavar="ADAPTER_ID", help="Layer 1 to build on; default: the newest finished one."
    )(command)


def _mixing_options(command: F) -> F:
    share = click.FloatRange(0, 1, max_open=True)
    options = (
        click.option("--replay-share", type=share, help="Personality rows in each epoch."),
        click.option("--replay-dataset", multiple=True, help="Default: the dataset layer 1 was trained on."),
        click.option("--general-share", type=share, help="Neutral rows in each epoch."),
        click.option("--general-dataset", multiple=True, help="Default: the base's own replies to neutral prompts."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("train-personality")
@_shared_options
def train_personality(**given: Any) -> None:
    """Train layer 1, the character itself, on a personality dataset."""
    _train("personality", given)


@click.command("train-episodic")
@_shared_options
@click.option("--week", type=click.IntRange(1, 53), help="ISO week the dataset covers.")
@click.option("--year", type=click.IntRange(1970, 9998), help="ISO year; default: the dataset's, else this year.")
@click.option("--rebuild", is_flag=True, help="Anew over all weeks: a decayed sample of each, the newest whole.")
@click.option(
    "--half-life",
    type=click.FloatRange(0, min_open=True),
    metavar="WEEKS",
    help=f"With --rebuild: a week this old gives half of its rows; default {HALF_LIFE_WEEKS:g}.",
)
@_parent_option
@_mixing_options
def train_episodic(**given: Any) -> None:
    """Train layer 2, one week of memories or (--rebuild) all of them, on top of a finished layer 1."""
    if given["half_life"] and not given["rebuild"] and not given["resume_id"]:
        raise click.UsageError("--half-life goes with --rebuild.")
    if given["rebuild"] and (given["week"] or given["year"]):
        raise click.UsageError(
            "--rebuild reads every week and takes the newest one's name; leave out --week and --year."
        )
    _train("episodic", given)


@click.command("train-skill")
@_shared_options
@click.option("--name", "skill", help="Of the skill, in its adapter's id; default: the dataset's.")
@_parent_option
@_mixing_options
def train_skill(**given: Any) -> None:
    """Train layer 3, a skill, on top of a finished layer 1; it can be joined with any week on the same layer 1."""
    _train("skill", given)


@click.command("train-preference")
@_shared_options
@_parent_option
def train_preference(**given: Any) -> None:
    """Train layer 3 from judged replies on top of a finished layer 1: dpo or kto, as the dataset's format is."""
    _train("preference", given)


def _train(kind: str, given: dict[str, Any]) -> None:
    _require_utf8(given)
    if given["register_id"]:
        _refuse_others(given, {"register_id"}, "--register tells the memory service about an adapter that is there")
    elif given["resume_id"]:
        _refuse_others(given, {"resume_id", "no_wait"}, "--resume continues the run exactly as it began")
    if not this_process().first:
        if not given["register_id"] and not given["preflight_only"]:  # there a run begins, and has a share for each
            follow()
        return
    settings = Settings.from_env()
    if given["output_dir"] is not None:
        settings = dataclasses.replace(settings, adapters_dir=given["output_dir"])
    display = Display()
    if given["register_id"]:
        folder = adapter_folder(given["register_id"], settings.adapters_dir)
        _register(folder, read_adapter(folder), settings, display)
        return
    if given["resume_id"]:
        result = resume(given["resume_id"], settings, display, wait=not given["no_wait"])
    elif given["preflight_only"]:
        look(_request(kind, given, display), settings, display, wait=not given["no_wait"])
        display.fact("ready", "nothing is in the way; no run was begun. Leave out --preflight-only to train")
        return
    else:
        result = train(_request(kind, given, display), settings, display, wait=not given["no_wait"])
    conclude(result, settings, display)


def episodic_request(arguments: Sequence[str], display: Display) -> Request:
    """What `casiopy train-episodic ARGUMENTS` would train.

    Raises:
        click.UsageError, RecipeError: it would not take these arguments.
    """
    return _request("episodic", train_episodic.make_context("train-episodic", list(arguments)).params, display)


def _request(kind: str, given: dict[str, Any], display: Display) -> Request:
    recipe = _recipe(kind, given, display)
    return Request(
        recipe=recipe,
        dataset=(*given["dataset"], *given["more_files"]),
        week=given.get("week"),
        year=given.get("year"),
        parent=given.get("parent"),
        replay_dataset=given.get("replay_dataset", ()),
        general_dataset=given.get("general_dataset", ()),
        skill=given.get("skill"),
        allow_personal_data=given["allow_personal_data"],
        half_life_weeks=(given["half_life"] or HALF_LIFE_WEEKS) if given.get("rebuild") else None,
    )


def _recipe(kind: str, given: dict[str, Any], display: Display) -> Recipe:
    path = given["config"] or _default_config(kind, given, display)
    device = given["device"] or read_recipe(path).device
    card, why = choose_card(path, given["card"], memory_for_next_run(device, Settings.from_env().data_dir))
    if why:
        display.fact("card", why)
    recipe = read_recipe(path, card)
    if recipe.kind != kind:
        what = f"a {recipe.kind} recipe (layer {recipe.layer}, objective {recipe.objective})"
        raise RecipeError(f"{given['config']} is {what}; this command trains a {kind} layer.")
    changes = {
        name: given[name]
        for name in ("base_model", "seed", "device", "backend", "replay_share", "general_share")
        if given.get(name) is not None
    }
    steps = recipe.steps
    if given["max_steps"] is not None:
        steps = dataclasses.replace(steps, max_steps=given["max_steps"])
        changes["max_steps"] = given["max_steps"]
    for name, value in changes.items():
        display.fact("command line", f"{name} = {value}, instead of the recipe's")
    changes.pop("max_steps", None)
    return dataclasses.replace(recipe, steps=steps, **changes)


def _default_config(kind: str, given: dict[str, Any], display: Display) -> Path:
    """Without --recipe: the 8B recipe where torch sees a GPU, the tiny one elsewhere, said aloud."""
    import torch

    gpu = torch.cuda.is_available()
    base, why = ("hermes-3-llama-3.1-8b", "a CUDA GPU is here") if gpu else ("tiny", "no CUDA GPU is here")
    names = [f"{base}/{kind}.yaml"]
    if kind == "preference":
        dataset = load_dataset((*given["dataset"], *given["more_files"]), Settings.from_env().exports_dir)
        names = [f"{base}/{dataset.form}.yaml", *names, f"preference/{dataset.form}.yaml"]
        why += f" and {dataset.name} is in format {dataset.form}"
    found = next((CONFIGS / name for name in names if (CONFIGS / name).is_file()), None)
    if found is None:
        raise RecipeError(f"There is no {' or '.join(names)} in {CONFIGS}. Give --recipe.")
    display.fact("recipe", f"{found.parent.name}/{found.name}: no --recipe given and {why}")
    return found


def _require_utf8(given: dict[str, Any]) -> None:
    """Refuse names and reasons that no manifest can hold."""
    for value in given.values():
        for one in value if isinstance(value, tuple) else (value,):
            try:
                str(one).encode()
            except UnicodeEncodeError as error:
                raise click.UsageError(f"{str(one)!r} is not UTF-8, so no manifest can name it. Rename it.") from error


def _refuse_others(given: dict[str, Any], kept: set[str], why: str) -> None:
    """Refuse flags that would be ignored."""
    ignored = [
        knob.opts[0] if isinstance(knob, click.Option) else "the files"
        for knob in click.get_current_context().command.params
        if knob.name not in kept | {"output_dir"} and given[str(knob.name)] not in (None, (), False)
    ]
    if ignored:
        raise click.UsageError(f"{why}; leave out {', '.join(ignored)}.")


def conclude(result: RunResult, settings: Settings, display: Display) -> None:
    """Say how a run ended and tell the memory service about a finished adapter.

    Raises:
        click.exceptions.Exit: it was interrupted (code 130).
        AdapterError: the service refused the adapter.
    """
    adapter_id = result.manifest["adapter_id"]
    command = SCRIPTS[_kind(result.manifest)]
    if result.interrupted:
        display.fact("stopped", f"nothing done is lost. Continue with: python training/{command} --resume {adapter_id}")
        raise click.exceptions.Exit(EXIT_INTERRUPTED)
    figures = result.manifest["result"]
    held_out = "" if figures["eval_loss"] is None else f", held-out {figures['eval_loss']:.3f}"
    display.fact(
        "finished",
        f"{figures['steps']} steps in {figures['seconds']:.0f} s, loss {figures['train_loss']:.3f}{held_out} "
        f"→ {result.folder}",
    )
    _register(result.folder, result.manifest, settings, display)


def _register(folder: Path, manifest: Manifest, settings: Settings, display: Display) -> None:
    problem = register(folder, settings)
    if problem is None:
        display.fact("registered", f"the memory service knows {folder.name}")
    else:
        display.fact("unregistered", f"{problem}. Later: casiopy train-{_kind(manifest)} --register {folder.name}")


def _kind(manifest: Manifest) -> str:
    """What the adapter is; manifests older than layer 3 do not say it."""
    return str(manifest.get("kind") or {1: "personality", 2: "episodic"}[manifest["layer"]])
