"""Training layer 2 anew over all weeks: a decayed sample, newest week whole, on layer 1 and on nothing else.

Weeks trained on weeks would drift and grow; a rebuild starts from layer 1 every time, so its rank and its cost are bounded.
A week that is `a` weeks old gives the share 2^(-a / half-life) of its rows. Which rows is decided by the seed and the week
alone, and a week that ages only loses rows: a rebuild a week later sees a subset of what this one saw of the same week.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import date

from persona_training.datasets import Dataset, checked_week, load_dataset, pass_over, readable_exports
from persona_training.errors import DatasetError
from persona_training.row_formats import TrainingRow
from persona_training.settings import Settings

# With eight weeks the shares of all weeks add up to 1 / (1 - 2^(-1/8)) = 12.05: however long she has been streaming, a
# rebuild reads no more than twelve weeks' rows. A quarter ago still counts for a third (32 %), a year ago for 1 %.
HALF_LIFE_WEEKS = 8.0


@dataclass(frozen=True)
class WeekSample:
    """What a rebuild takes of one week."""

    dataset: Dataset
    year: int
    number: int
    age_weeks: int
    share: float
    taken: int


@dataclass(frozen=True)
class Rebuild:
    """All weeks, oldest first, and the rows taken of them as one dataset that carries the newest week's name."""

    half_life_weeks: float
    weeks: tuple[WeekSample, ...]
    dataset: Dataset

    @property
    def older(self) -> tuple[WeekSample, ...]:
        """All but the newest, as far as anything of them is left."""
        return tuple(sample for sample in self.weeks[:-1] if sample.taken)


def gather_weeks(
    given: Sequence[str], half_life_weeks: float, seed: int, settings: Settings, withdrawn: Container[str] = ()
) -> Rebuild:
    """Read every weekly export and take its decayed sample.

    Args:
        given: weekly exports, as `--dataset` names them; none takes the newest export of every week there is.
        half_life_weeks: after so many weeks half of a week's rows are left, above 0.
        seed: of which rows are left.
        withdrawn: exports that no longer may be learned from; passed over where none are given.

    Raises:
        DatasetError: one is not a weekly export, two are of the same week, or they are of different characters.
    """
    if not (half_life_weeks > 0 and math.isfinite(half_life_weeks)):
        raise DatasetError(f"The half-life must be a number of weeks above 0, not {half_life_weeks:g}.")
    names = list(given) or _newest_of_each_week(settings, withdrawn)
    datasets = sorted((_weekly(name, settings) for name in names), key=_monday)
    if not datasets:
        raise DatasetError(
            f"No weekly export in {settings.exports_dir}. Export one with `casiopy export --type episodic`."
        )
    for before, after in itertools.pairwise(datasets):
        if before.week == after.week:
            raise DatasetError(f"{before.name} and {after.name} are the same week {after.week}. Give one of them.")
        if before.persona != after.persona:
            raise DatasetError(
                f"{before.name} is of {before.persona} and {after.name} of {after.persona}: one character."
            )
    newest = datasets[-1]
    samples = tuple(_sample(dataset, newest, half_life_weeks) for dataset in datasets)
    merged = dataclasses.replace(
        newest,
        train=tuple(row for sample in samples for row in _taken(sample.dataset.train, sample, seed)),
        val=tuple(row for sample in samples for row in _taken(sample.dataset.val, sample, seed)),
    )
    return Rebuild(half_life_weeks, samples, merged)


def decayed_count(rows: int, age_weeks: int, half_life_weeks: float) -> int:
    """How many of a week's rows are left, rounded; in the end none."""
    return round(rows * _share(age_weeks, half_life_weeks))


def _share(age_weeks: int, half_life_weeks: float) -> float:
    return math.pow(2.0, -age_weeks / half_life_weeks)


def _sample(dataset: Dataset, newest: Dataset, half_life_weeks: float) -> WeekSample:
    age = (_monday(newest) - _monday(dataset)).days // 7
    year, number = dataset.week or (0, 0)
    taken = decayed_count(len(dataset.train), age, half_life_weeks)
    return WeekSample(dataset, year, number, age, _share(age, half_life_weeks), taken)


def _taken(rows: Sequence[TrainingRow], sample: WeekSample, seed: int) -> list[TrainingRow]:
    """The first rows of one fixed shuffle of the week, in the week's own order: fewer rows are always a subset."""
    rng = random.Random(f"{seed}:{sample.year}-W{sample.number:02d}")  # noqa: S311 (a draw, not secrets)
    kept = rng.sample(range(len(rows)), len(rows))[: round(len(rows) * sample.share)]
    return [rows[index] for index in sorted(kept)]


def _weekly(name: str, settings: Settings) -> Dataset:
    dataset = load_dataset([name], settings.exports_dir)
    if dataset.kind != "episodic" or dataset.week is None:
        held = f"holds {dataset.kind} rows" if dataset.kind else "has no manifest that says its week"
        raise DatasetError(
            f"{dataset.name} {held}. A rebuild is made of weekly exports (`casiopy export --type episodic`)."
        )
    return dataset


def _monday(dataset: Dataset) -> date:
    year, number = dataset.week or (1970, 1)
    return date.fromisocalendar(year, number, 1)


def _newest_of_each_week(settings: Settings, withdrawn: Container[str]) -> list[str]:
    """Export ids, one a week: of those that still may be learned from, the one made last."""
    newest: dict[tuple[int, int], tuple[str, str]] = {}
    for folder, manifest in readable_exports(settings.exports_dir):
        if folder.name in withdrawn or manifest.get("type") != "episodic" or not manifest.get("week"):
            continue
        try:
            week = checked_week(manifest["week"]["year"], manifest["week"]["number"])
        except (KeyError, TypeError) as error:
            pass_over(folder, f"its manifest does not say its week ({error})")
            continue
        except DatasetError as error:
            pass_over(folder, error.message)
            continue
        newest[week] = max(newest.get(week, ("", "")), (str(manifest.get("created_at", "")), folder.name))
    return [name for _, name in newest.values()]
