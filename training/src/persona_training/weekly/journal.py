"""What a week has done so far: `lora_adapters/weeks/2026-W47/journal.json`, rewritten atomically at every step."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args

from persona_training.adapters import write_json
from persona_training.errors import PersonaTrainingError, StorageError
from persona_training.run_folder import now
from persona_training.weekly.calendar_week import IsoWeek

StageName = Literal["export", "train", "gate", "deploy"]
Status = Literal["waiting", "running", "done", "stopped", "failed", "interrupted"]
STAGES: tuple[StageName, ...] = get_args(StageName)
SCHEMA = "casiopy/week-v1"
FILE_NAME = "journal.json"


class JournalError(PersonaTrainingError):
    """The journal cannot be read. Exit code 1."""


@dataclass
class Record:
    """One stage of the week.

    Attributes:
        status: "running" is also what a killed process leaves behind.
        since: when it first began, UTC; begun anew with `--again`. What it made is younger than this.
        began_at, ended_at: of the last attempt, UTC.
        seconds: wall time of all attempts together; of one that was killed nothing is known.
        attempts: how often it was begun.
        asked: the options it was begun with.
        result: what it made; None until it is done.
        message: why it stopped.
    """

    status: Status = "waiting"
    since: str | None = None
    began_at: str | None = None
    ended_at: str | None = None
    seconds: float = 0.0
    attempts: int = 0
    asked: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    message: str = ""

    @property
    def done(self) -> bool:
        """It has a result and is not repeated."""
        return self.status == "done"


@dataclass
class Journal:
    """The stages of one week, on disk and here the same."""

    folder: Path
    week: IsoWeek
    persona: str | None
    stages: dict[StageName, Record]

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE_NAME

    def begin(self, name: StageName, asked: dict[str, Any]) -> str:
        """A stage begins, or begins once more; returns since when it does."""
        record = self.stages[name]
        record.status, record.message, record.began_at, record.ended_at = "running", "", now(), None
        record.since = record.since or record.began_at
        record.asked, record.attempts = asked, record.attempts + 1
        self.write()
        return record.since

    def end(
        self,
        name: StageName,
        status: Status,
        seconds: float,
        *,
        result: dict[str, Any] | None = None,
        message: str = "",
    ) -> None:
        """A stage has ended."""
        record = self.stages[name]
        record.status, record.ended_at, record.result, record.message = status, now(), result, message
        record.seconds = round(record.seconds + seconds, 3)
        self.write()

    def without(self, first: StageName) -> Journal:
        """What it would be had this stage and all after it not been done; the file stays as it is."""
        kept = STAGES[: STAGES.index(first)]
        return replace(self, stages={name: self.stages[name] if name in kept else Record() for name in STAGES})

    def forget(self, first: StageName) -> None:
        """This stage and all after it have not been done."""
        self.stages = self.without(first).stages
        self.write()

    def results(self) -> dict[StageName, dict[str, Any]]:
        """What the stages that are done have made."""
        return {
            name: record.result for name, record in self.stages.items() if record.done and record.result is not None
        }

    def as_dict(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "schema": SCHEMA,
            "week": {"year": self.week.year, "number": self.week.number},
            "persona": self.persona,
            "stages": {name: asdict(self.stages[name]) for name in STAGES},
            "updated_at": now(),
        }

    def write(self) -> None:
        """Replace the file in one step.

        Raises:
            StorageError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot write {self.folder}: {error.strerror}. Set LORA_ADAPTERS_DIR.") from error
        write_json(self.path, self.as_dict())


def week_folder(adapters_dir: Path, week: IsoWeek, persona: str | None) -> Path:
    """`weeks/2026-W47` among the adapters; with a persona named, `weeks/2026-W47-<persona>`."""
    return adapters_dir / "weeks" / (f"{week}-{persona}" if persona else str(week))


def read_journal(adapters_dir: Path, week: IsoWeek, persona: str | None) -> Journal:
    """The week's journal; an empty one where none has been written. Writes nothing.

    Raises:
        JournalError: the file is damaged, or of another week.
    """
    folder = week_folder(adapters_dir, week, persona)
    journal = Journal(folder, week, persona, {name: Record() for name in STAGES})
    if not journal.path.is_file():
        return journal
    try:
        value = json.loads(journal.path.read_text(encoding="utf-8"))
        if (value["schema"], value["week"]) != (SCHEMA, {"year": week.year, "number": week.number}):
            raise ValueError(f"it is not the journal of {week}")
        journal.stages.update({name: _record(value["stages"][name], name) for name in STAGES})
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise JournalError(
            f"{journal.path} cannot be read ({error}). Restore it from a backup, or move it away to begin the week anew."
        ) from error
    return journal


def _record(value: dict[str, Any], name: StageName) -> Record:
    """A stage as the file says it.

    Raises:
        TypeError, ValueError: a key is unknown, or what stands there is not what belongs there.
    """
    record = Record(**value)
    if record.status not in get_args(Status):
        raise ValueError(f"{name}: {record.status!r} is no status")
    for key in ("since", "began_at", "ended_at"):
        _expect(getattr(record, key), (str, NoneType), f"{name}: {key}")
    _expect(record.seconds, (int, float), f"{name}: seconds")
    _expect(record.attempts, (int,), f"{name}: attempts")
    _expect(record.asked, (dict,), f"{name}: asked")
    _expect(record.result, (dict, NoneType), f"{name}: result")
    _expect(record.message, (str,), f"{name}: message")
    return record


def _expect(value: object, kinds: tuple[type, ...], place: str) -> None:
    if not isinstance(value, kinds):
        raise TypeError(f"{place} is {value!r:.60}")


# What the stages after it, the report and a dry run take from a result.
RESULTS: dict[StageName, dict[str, type]] = {
    "export": {"export_id": str, "persona": str, "rows": int},
    "train": {"adapter_id": str},
    "gate": {"verdict": str, "reasons": list, "report_id": str, "report": str, "skills": list},
    "deploy": {"tag": str, "live": str},
}


def check_results(journal: Journal) -> Journal:
    """The journal itself, when what its stages have made can be gone on from.

    Raises:
        JournalError: the result of a stage that is done lacks something.
    """
    for name, result in journal.results().items():
        for key, kind in RESULTS[name].items():
            value = result.get(key)
            if not isinstance(value, kind) or (isinstance(value, list) and not all(isinstance(x, str) for x in value)):
                raise JournalError(
                    f"{journal.path} is damaged: the result of {name} has no usable {key}. Restore it from a backup, or do the "
                    f"stage anew with --again {name}."
                )
    return journal
