"""Reading datasets: an export folder, an export id, its manifest, or bare `.jsonl` files, in any format of `row_formats`.

Bare files that are byte-for-byte an export's training split are recognised by hash, so lineage survives a copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click

from persona_training.errors import DatasetError
from persona_training.hashing import sha256_file, sha256_files
from persona_training.row_formats import Row, TrainingRow, parse_row

# Share of sessions held out when a bare file brings no val split: the exporter's own default.
VAL_SHARE = 0.1
_WEEK_FILE = re.compile(r"week_\d{2}")


@dataclass(frozen=True)
class Dataset:
    """Rows to learn from and rows held out.

    Attributes:
        export_id: None when the rows came from files without a manifest.
        sha256: the manifest's dataset hash, or the hash of the files.
        persona: slug of the character.
        kind: "personality", "episodic", "skill", "preference", or None when unknown.
        week: ISO (year, number) of an episodic export.
        skill: name of a skill export.
        form: format of the rows: "chatml", "sharegpt", "alpaca", "dpo" or "kto".
        source: the paths it was read from, for messages and for resuming.
    """

    export_id: str | None
    sha256: str
    persona: str
    kind: str | None
    week: tuple[int, int] | None
    train: tuple[TrainingRow, ...]
    val: tuple[TrainingRow, ...]
    source: tuple[Path, ...]
    skill: str | None = None
    form: str = "chatml"

    @property
    def name(self) -> str:
        """Export id, or the file names."""
        return self.export_id or "+".join(path.name for path in self.source)

    @property
    def conversations(self) -> tuple[Row, ...]:
        """The training rows, where whole conversations are wanted.

        Raises:
            DatasetError: they are preferences.
        """
        return conversations(self.train, self)


def conversations(rows: Sequence[TrainingRow], dataset: Dataset) -> tuple[Row, ...]:
    """The rows of a split, where whole conversations are wanted.

    Raises:
        DatasetError: they are preferences.
    """
    plain = tuple(row for row in rows if isinstance(row, Row))
    if len(plain) != len(rows):
        raise DatasetError(
            f"{dataset.name} holds judged replies (format {dataset.form}), not conversations. Train on it with "
            "`casiopy train-preference`, or export the other type."
        )
    return plain


def load_dataset(
    given: Sequence[str], exports_dir: Path, week: int | None = None, val_share: float = VAL_SHARE
) -> Dataset:
    """Read what `--dataset` names.

    Args:
        given: one export folder, export id or manifest; or one or more `.jsonl` files.
        exports_dir: where export ids are looked up.
        week: of weekly files (a shell glob), only this ISO week's is used.
        val_share: share of sessions held out of bare files, which bring no val split.

    Raises:
        DatasetError: nothing is there, a file changed since its export, or a row is malformed.
    """
    if not given:
        raise DatasetError("No dataset given. Pass --dataset with an export id, an export folder or .jsonl files.")
    paths = [_locate(name, exports_dir) for name in given]
    if len(paths) == 1 and paths[0].is_dir():
        return _from_export(paths[0])
    if any(path.is_dir() for path in paths):
        raise DatasetError("Give either one export or .jsonl files, not a mixture.")
    return _from_files(_of_week(paths, week), exports_dir, val_share)


def _locate(name: str, exports_dir: Path) -> Path:
    path = Path(name)
    if path.name == "manifest.json" and path.is_file():
        return path.parent
    for candidate in (path, exports_dir / name):
        if (candidate / "manifest.json").is_file() or (candidate.is_file() and candidate.suffix == ".jsonl"):
            return candidate
    known = ", ".join(sorted(p.parent.name for p in exports_dir.glob("*/manifest.json"))) or "none yet"
    raise DatasetError(
        f"No dataset at {name!r}: not a .jsonl file, an export folder or an export id. Exports in {exports_dir}: {known}. "
        "Create one with `python training/export_training_data.py --type personality`."
    )


def _of_week(paths: list[Path], week: int | None) -> list[Path]:
    """The file of the week, of several or of one whose name says a week; a file of another name is taken at its word."""
    if week is None or (len(paths) == 1 and not _WEEK_FILE.fullmatch(paths[0].stem)):
        return paths
    wanted = [path for path in paths if path.stem == f"week_{week:02d}"]
    if not wanted:
        names = ", ".join(path.name for path in paths)
        raise DatasetError(f"None of the given files is week_{week:02d}.jsonl ({names}). Export that week first.")
    return wanted


def _from_export(folder: Path) -> Dataset:
    manifest = read_manifest(folder / "manifest.json")
    try:
        splits = {name: folder / manifest["splits"][name]["file"] for name in ("train", "val")}
        hashes = {name: manifest["splits"][name]["sha256"] for name in splits}
        week, form = manifest["week"], manifest.get("format", "chatml")
        dataset = Dataset(
            export_id=manifest["export_id"],
            sha256=manifest["dataset_sha256"],
            persona=manifest["persona"]["slug"],
            kind=manifest["type"],
            week=checked_week(week["year"], week["number"]) if week else None,
            train=_rows([splits["train"]], form)[1],
            val=_rows([splits["val"]], form)[1],
            source=(folder,),
            skill=manifest.get("skill"),
            form=form,
        )
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{folder / 'manifest.json'} lacks {error}. Export the dataset again.") from error
    for name, path in splits.items():
        if sha256_file(path) != hashes[name]:
            raise DatasetError(
                f"{path} is not the file its manifest describes: it changed after the export. Export again."
            )
    return _not_empty(dataset)


def _from_files(paths: list[Path], exports_dir: Path, val_share: float) -> Dataset:
    if len(paths) == 1 and (export := _export_of(paths[0], exports_dir)) is not None:
        return _from_export(export)
    form, rows = _rows(paths)
    train, val = _split_by_session(rows, val_share)
    dataset = Dataset(
        export_id=None,
        sha256=sha256_file(paths[0]) if len(paths) == 1 else sha256_files(paths),
        persona="casiopy",
        kind=None,
        week=None,
        train=train,
        val=val,
        source=tuple(paths),
        form=form,
    )
    return _not_empty(dataset)


def _export_of(path: Path, exports_dir: Path) -> Path | None:
    digest = sha256_file(path)
    for folder, manifest in readable_exports(exports_dir):
        try:
            if manifest["splits"]["train"]["sha256"] == digest:
                return folder
        except (KeyError, TypeError):
            pass_over(folder, "its manifest names no training rows")
    return None


def checked_week(year: int, number: int) -> tuple[int, int]:
    """The ISO week, if the year has it: only long years have a week 53.

    Raises:
        DatasetError: there is no such week.
    """
    try:
        date.fromisocalendar(year, number, 1)
    except (TypeError, ValueError, OverflowError):
        raise DatasetError(
            f"Year {year} has no ISO week {number}; give a week from 1 to 52, or 53 in long years."
        ) from None
    return year, number


def readable_exports(exports_dir: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every export's folder and manifest, in the folders' order; one that cannot be read is passed over with a note."""
    for path in sorted(exports_dir.glob("*/manifest.json")):
        try:
            manifest = read_manifest(path)
        except DatasetError as error:
            pass_over(path.parent, error.message)
            continue
        yield path.parent, manifest


def pass_over(folder: Path, why: str) -> None:
    """Say that an export is not looked at any further, and why."""
    click.echo(f"note: {folder} is passed over: {why}", err=True)


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest as JSON.

    Raises:
        DatasetError: it is not JSON.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise DatasetError(f"{path} does not hold a JSON object.")
    return manifest


def _rows(paths: Sequence[Path], form: str | None = None) -> tuple[str, tuple[TrainingRow, ...]]:
    """The rows of the files and their format: `form`, or where none is given, that of the first row."""
    rows: list[TrainingRow] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error}") from error
        except UnicodeDecodeError as error:
            raise DatasetError(f"{path} is not UTF-8 ({error}). Open it in an editor and save it as UTF-8.") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            found, row = parse_row(line, f"{path}:{number}")
            form = form or found
            if found != form:
                raise DatasetError(f"{path}:{number}: a row in format {found} among rows in {form}. Give one format.")
            rows.append(row)
    return form or "chatml", tuple(rows)


def _split_by_session(
    rows: tuple[TrainingRow, ...], val_share: float
) -> tuple[tuple[TrainingRow, ...], tuple[TrainingRow, ...]]:
    """Hold out every n-th session, in order of first appearance, so that `val_share` of them are val."""
    sessions = list(dict.fromkeys(row.session_id for row in rows))
    held_out = set(sessions[:: round(1 / val_share)]) if val_share and len(sessions) > 1 else set()
    return (
        tuple(row for row in rows if row.session_id not in held_out),
        tuple(row for row in rows if row.session_id in held_out),
    )


def _not_empty(dataset: Dataset) -> Dataset:
    if not dataset.train and dataset.export_id is None:
        raise DatasetError(f"{dataset.name} holds no training rows: it is empty. Give a file with a row on each line.")
    if not dataset.train:
        raise DatasetError(
            f"The dataset {dataset.name} has no training rows. Look at its funnel: lower --min-quality, or record more."
        )
    return dataset
