"""Everything a run decides before its first step: base, parent, data and order."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from persona_training.adapters import Manifest, finished_adapter
from persona_training.backends import choose_backend
from persona_training.bases import BaseModel, find_base
from persona_training.config import LAYER_3, Recipe
from persona_training.datasets import Dataset, checked_week, load_dataset
from persona_training.display import Display
from persona_training.errors import DatasetError, RecipeError
from persona_training.general import general_dataset
from persona_training.hardware import Hardware, choose_hardware
from persona_training.joining import merged_base
from persona_training.lessons import Lessons, read_lessons, require_lessons
from persona_training.models import load_tokenizer
from persona_training.parents import find_parents, louder_than_parent
from persona_training.plain_templates import replaced
from persona_training.rebuild import Rebuild, gather_weeks
from persona_training.registry import withdrawn_exports
from persona_training.replay import replay_dataset
from persona_training.schedule import Learnable, Schedule, plan
from persona_training.settings import Settings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

# What an adapter id and a folder can carry.
SKILL_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,39}$")


@dataclass(frozen=True)
class Request:
    """What the operator asked for.

    Attributes:
        recipe: with the command line's overrides applied.
        dataset: what `--dataset` named.
        week, year: of an episodic layer; year None takes the dataset's, else the current one.
        parent: adapter id or folder for a later layer; None takes the newest finished layer 1 on this base.
        replay_dataset: personality rows to replay; empty takes the parent's own dataset.
        general_dataset: neutral rows to mix in; empty takes the base's own replies.
        skill: name of a skill layer; None takes the dataset's.
        half_life_weeks: rebuild layer 2 over all weeks with this half-life; None trains one week.
        allow_personal_data: why rows that hold personal data or access keys may be learned; None refuses them.
    """

    recipe: Recipe
    dataset: Sequence[str]
    week: int | None = None
    year: int | None = None
    parent: str | None = None
    replay_dataset: Sequence[str] = ()
    general_dataset: Sequence[str] = ()
    skill: str | None = None
    half_life_weeks: float | None = None
    allow_personal_data: str | None = None


@dataclass(frozen=True)
class Data:
    """What a run learns from: its own rows, and those mixed into every epoch (None where there are none).

    Attributes:
        own: the dataset; of a rebuild, the rows taken of all weeks under the newest week's name.
        replay: personality rows.
        general: neutral rows.
        rebuild: how `own` was put together, or None.
    """

    own: Dataset
    replay: Dataset | None
    general: Dataset | None
    rebuild: Rebuild | None


@dataclass(frozen=True)
class Prepared:
    """A run ready to go.

    Attributes:
        taught: examples made of the dataset's rows: a row may be divided into several, or be left out.
        base, parents, parent: what the adapter stands on, as its manifest records it.
        load_from, to_merge: what a backend loads and merges for that: base and parents, or a saved folder that is both.
    """

    request: Request
    base: BaseModel
    hardware: Hardware
    tokenizer: PreTrainedTokenizerBase
    data: Data
    parent: Manifest | None
    parents: tuple[Path, ...]
    load_from: Path
    to_merge: tuple[Path, ...]
    taught: int
    schedule: Schedule
    val: tuple[Learnable, ...]
    week: tuple[int, int] | None
    skill: str | None

    @property
    def dataset(self) -> Dataset:
        """The run's own rows."""
        return self.data.own


def prepare(request: Request, settings: Settings, display: Display) -> Prepared:
    """Find everything, check that it belongs together, and show what will be learned.

    Raises:
        PersonaTrainingError: whatever is missing or does not fit, with what to do.
    """
    withdrawn = withdrawn_exports(settings)
    dataset, rebuild = _data(request, settings, display, withdrawn or {})
    request = dataclasses.replace(request, recipe=_fitting(request.recipe, dataset, display))
    recipe, week, skill = request.recipe, _week(request, dataset), _skill(request, dataset)
    hardware = _hardware(recipe, display)
    base = _base(recipe, settings, display)
    parents = tuple(find_parents(recipe, request.parent, base, settings))
    parent = finished_adapter(parents[-1]) if parents else None
    load_from, to_merge = _foundation(recipe, base, parents, parent, hardware, settings, display)
    tokenizer = _tokenizer(base, display)
    own = require_lessons(read_lessons(tokenizer, dataset.train, dataset, recipe), recipe, dataset)
    replay = replay_dataset(recipe, parent, request.replay_dataset, settings)
    general = general_dataset(base, recipe, request.general_dataset, settings, display)
    data = Data(dataset, replay, general, rebuild)
    _refuse_withdrawn(data, withdrawn, settings, display)
    schedule = _schedule(tokenizer, own, data, recipe)
    val = read_lessons(tokenizer, dataset.val, dataset, recipe).examples
    _show(display, recipe, tokenizer, own, replay, schedule, val)
    return Prepared(
        request=request,
        base=base,
        hardware=hardware,
        tokenizer=tokenizer,
        data=data,
        parent=parent,
        parents=parents,
        load_from=load_from,
        to_merge=to_merge,
        taught=len(own.examples),
        schedule=schedule,
        val=val,
        week=week,
        skill=skill,
    )


def _hardware(recipe: Recipe, display: Display) -> Hardware:
    """The device, once the backend has said that it can do the recipe on it: before gigabytes are loaded or merged."""
    hardware = choose_hardware(recipe.device, recipe.dtype)
    choose_backend(recipe.backend).check(recipe, hardware)
    display.fact("device", hardware.reason)
    return hardware


def _base(recipe: Recipe, settings: Settings, display: Display) -> BaseModel:
    from persona_training.backends.lora import check_target_modules

    with display.building_base() as progress:
        base = find_base(recipe.base_model, settings.data_dir, progress)
    display.fact("base model", f"{base.name} ({base.sha256[:12]}…)")
    check_target_modules(recipe, base.folder)
    return base


def _tokenizer(base: BaseModel, display: Display) -> PreTrainedTokenizerBase:
    tokenizer = load_tokenizer(base.folder)
    if replaced(tokenizer):
        display.fact("chat template", replaced(tokenizer))
    return tokenizer


def _data(
    request: Request, settings: Settings, display: Display, withdrawn: Mapping[str, str]
) -> tuple[Dataset, Rebuild | None]:
    if request.half_life_weeks is None:
        dataset = load_dataset(request.dataset, settings.exports_dir, request.week)
        display.fact("dataset", f"{dataset.name}: {len(dataset.train)} rows to learn, {len(dataset.val)} held out")
        return dataset, None
    rebuild = gather_weeks(request.dataset, request.half_life_weeks, request.recipe.seed, settings, withdrawn)
    dataset = rebuild.dataset
    display.fact(
        "rebuild",
        f"{len(rebuild.weeks)} weeks, half-life {rebuild.half_life_weeks:g} weeks: {len(dataset.train)} rows to learn, "
        f"{len(dataset.val)} held out; from layer 1, no earlier week's adapter is read",
    )
    for sample in rebuild.weeks:
        taken = f"{sample.taken} of {len(sample.dataset.train)} rows ({sample.share:.0%})"
        display.fact(f"{sample.year} week {sample.number:02d}", f"{sample.dataset.name}: {taken}")
    return dataset, rebuild


def _refuse_withdrawn(data: Data, withdrawn: Mapping[str, str] | None, settings: Settings, display: Display) -> None:
    """Nothing is learned from a dataset that holds what somebody had erased since.

    Raises:
        DatasetError: one does.
    """
    if withdrawn is None:
        why = f"the memory service at {settings.memory_service_url} gave no list"
        display.fact(
            "erasures", f"not asked, {why}; it marks an adapter that learned from something erased when it registers"
        )
        return
    older = [sample.dataset for sample in data.rebuild.older] if data.rebuild else []
    for dataset in (data.own, *older, data.replay, data.general):
        since = withdrawn.get(dataset.export_id or "") if dataset is not None else None
        if dataset is not None and since is not None:
            raise DatasetError(
                f"{dataset.name} holds what somebody had erased since ({since}). Export it again and train on that."
            )


def _fitting(recipe: Recipe, dataset: Dataset, display: Display) -> Recipe:
    """The recipe with the objective its dataset is made for.

    Raises:
        DatasetError: rows of another type than the layer learns from.
        RecipeError: a preference dataset and a recipe of objective sft.
    """
    if dataset.form in ("dpo", "kto") and recipe.layer == LAYER_3 and recipe.objective != dataset.form:
        if recipe.objective == "sft":
            raise RecipeError(
                f"{dataset.name} holds judged replies (format {dataset.form}), and the recipe {recipe.name} learns whole "
                "replies (objective sft). Use `casiopy train-preference`."
            )
        display.fact("objective", f"{dataset.form}, instead of the recipe's: that is the format of {dataset.name}")
        recipe = dataclasses.replace(recipe, objective=dataset.form)
    if dataset.kind not in (None, recipe.kind):
        raise DatasetError(f"{dataset.name} holds {dataset.kind} rows; this command trains on {recipe.kind} ones.")
    if recipe.kind == "preference" and dataset.form not in ("dpo", "kto"):
        raise DatasetError(
            f"{dataset.name} holds conversations (format {dataset.form}), and preferences are learned from judged replies. "
            "Export them with `casiopy export --type preference`."
        )
    return recipe


def _week(request: Request, dataset: Dataset) -> tuple[int, int] | None:
    if request.recipe.kind != "episodic":
        return None
    number = request.week or (dataset.week[1] if dataset.week else None)
    if number is None or not 1 <= number <= 53:
        raise DatasetError("An episodic layer needs --week, an ISO week number from 1 to 53.")
    year = request.year or (dataset.week[0] if dataset.week else datetime.now(UTC).isocalendar().year)
    if dataset.week not in (None, (year, number)):
        raise DatasetError(f"{dataset.name} covers week {dataset.week}, not {(year, number)}. Export that week first.")
    return checked_week(year, number)


def _skill(request: Request, dataset: Dataset) -> str | None:
    if request.recipe.kind != "skill":
        return None
    name = request.skill or dataset.skill
    if name is None or not SKILL_NAME.match(name):
        raise DatasetError(
            f"A skill needs --name, small letters, digits and hyphens (up to 40), not {name!r}: it becomes part of its id."
        )
    if dataset.skill not in (None, name):
        raise DatasetError(
            f"{dataset.name} holds the skill {dataset.skill!r}, not {name!r}. Leave --name out or export it."
        )
    return name


def _foundation(
    recipe: Recipe,
    base: BaseModel,
    parents: tuple[Path, ...],
    parent: Manifest | None,
    hardware: Hardware,
    settings: Settings,
    display: Display,
) -> tuple[Path, tuple[Path, ...]]:
    """What to load and what to merge into it; said aloud."""
    if parent is None:
        return base.folder, ()
    for warning in louder_than_parent(recipe, parent):
        display.fact("WARNING", warning)
    told = f"{parent['adapter_id']}, merged into the base"
    if not recipe.load_in_4bit:
        display.fact("on top of", f"{told} in memory; its files are only read")
        return base.folder, parents
    folder = merged_base(base, parents, _sixteen_bits(hardware), settings.data_dir)
    display.fact("on top of", f"{told} in 16 bits and kept in {folder}: merging into 4 bits would lose much of it")
    return folder, ()


def _sixteen_bits(hardware: Hardware) -> torch.dtype:
    """The run's own format where it has 16 bits, else bfloat16, which keeps float32's range."""
    import torch

    return torch.bfloat16 if hardware.dtype == torch.float32 else hardware.dtype


def _schedule(tokenizer: PreTrainedTokenizerBase, own: Lessons, data: Data, recipe: Recipe) -> Schedule:
    mixed = [
        require_lessons(read_lessons(tokenizer, dataset.train, dataset, recipe), recipe, dataset).examples
        if dataset is not None
        else ()
        for dataset in (data.replay, data.general)
    ]
    schedule = plan(
        own.examples,
        mixed[0],
        recipe.replay_share,
        recipe.steps,
        recipe.seed,
        general=mixed[1],
        general_share=recipe.general_share,
    )
    if recipe.objective != "sft":
        from persona_training.backends.preference import check_learnable

        check_learnable(recipe, own.examples, schedule)
    return schedule


def _show(
    display: Display,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    own: Lessons,
    replay: Dataset | None,
    schedule: Schedule,
    val: Sequence[Learnable],
) -> None:
    if recipe.system_prompt == "omit":
        display.fact("system prompt", "left out of every row (recipe: this base's context is too small to carry it)")
    if own.note:
        display.fact("length", f"{own.note} (max_length {recipe.max_length})")
    if replay is not None:
        display.fact("replay", f"{recipe.replay_share:.0%} of each epoch from {replay.name}, against forgetting")
    if recipe.steps.patience and not val:
        display.fact("early stop", "never: the dataset holds nothing out, so there is no held-out loss to wait for")
    display.fact("order", f"{schedule.steps} steps, {schedule.epoch_rows} rows an epoch, seed {recipe.seed}")
    display.fact("loss sees", f"{own.learned_share:.0%} of {own.tokens} tokens: the assistant's words and end tokens")
    for example in own.shown:
        display.preview(tokenizer, example)
