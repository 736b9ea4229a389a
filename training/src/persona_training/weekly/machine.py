"""The stages one after the other: what is done is not done again, what stopped says why."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

import click

from persona_training.display import Display
from persona_training.weekly.endings import INTERRUPTED, Ending
from persona_training.weekly.journal import Journal, StageName, Status

Result = dict[str, Any]
Results = Mapping[StageName, Result]


class Stopped(Exception):
    """A stage stopped the week without failing; the next run repeats it."""

    def __init__(self, ending: Ending, message: str) -> None:
        super().__init__(message)
        self.ending = ending
        self.message = message


class Stage(Protocol):
    """One stage of the week.

    Attributes:
        name: its key in the journal.
        failed: how the week ends when the stage raises a PersonaTrainingError.
    """

    @property
    def name(self) -> StageName: ...

    @property
    def failed(self) -> Ending: ...

    def asked(self) -> dict[str, Any]:
        """The options that decide what it makes, for the journal."""
        ...

    def plan(self, done: Results) -> str:
        """What `run` would do, in a sentence; touches nothing."""
        ...

    def run(self, done: Results, since: str) -> Result:
        """Do it, or finish what an earlier attempt has begun.

        Args:
            done: the results of the stages before it.
            since: what an earlier attempt has made is not older than this.

        Raises:
            Stopped: it ended the week without failing.
            PersonaTrainingError: it failed.
        """
        ...

    def gone(self, result: Result) -> str | None:
        """Why the next stage cannot use the result any more, or None."""
        ...

    def verdict(self, result: Result) -> tuple[Ending, str] | None:
        """How the week ends with this result and why; None when it goes on."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How the week ended: where, and why."""

    ending: Ending
    stage: StageName | None
    message: str = ""


def run_week(stages: Sequence[Stage], journal: Journal, finished: Ending, display: Display) -> Outcome:
    """Carry the week on from where its journal stands.

    Args:
        stages: in order; a prefix of all of them where not everything is wanted.
        journal: kept up to date on disk.
        finished: how it ends when every stage went through.
        display: told what is done already.
    """
    _redo_what_is_gone(stages, journal, display)
    for stage in stages:
        record = journal.stages[stage.name]
        if record.done and record.result is not None:
            _say_done(stage, journal, display)
            result = record.result
        else:
            display.fact("stage", stage.name)
            outcome = _attempt(stage, journal)
            if isinstance(outcome, Outcome):
                return outcome
            result = outcome
        if (stop := stage.verdict(result)) is not None:
            return Outcome(stop[0], stage.name, stop[1])
    return Outcome(finished, None)


def _attempt(stage: Stage, journal: Journal) -> Result | Outcome:
    since = journal.begin(stage.name, stage.asked())
    began = time.monotonic()

    def end(status: Status, message: str = "", result: Result | None = None) -> None:
        journal.end(stage.name, status, time.monotonic() - began, result=result, message=message)

    try:
        result = stage.run(journal.results(), since)
    except Stopped as stop:
        end("interrupted" if stop.ending is INTERRUPTED else "stopped", stop.message)
        return Outcome(stop.ending, stage.name, stop.message)
    except KeyboardInterrupt:
        end("interrupted", message := f"{stage.name} was interrupted.")
        return Outcome(INTERRUPTED, stage.name, message)
    except click.ClickException as error:
        end("failed", error.format_message())
        return Outcome(stage.failed, stage.name, error.format_message())
    except OSError as error:  # a full or failing disk, wherever it was met
        end("failed", message := f"{error.filename or 'The disk'}: {error.strerror or error}.")
        return Outcome(stage.failed, stage.name, message)
    end("done", result=result)
    return result


def _redo_what_is_gone(stages: Sequence[Stage], journal: Journal, display: Display) -> None:
    """Begin again at the earliest stage whose result the first unfinished one would miss."""
    first = next((n for n, stage in enumerate(stages) if not journal.stages[stage.name].done), 0)
    for number in range(first - 1, -1, -1):
        stage = stages[number]
        why = stage.gone(journal.stages[stage.name].result or {})
        if why is None:
            return
        display.fact("again", f"{stage.name}: {why}")
        journal.forget(stage.name)


def _say_done(stage: Stage, journal: Journal, display: Display) -> None:
    record = journal.stages[stage.name]
    display.fact("stage", f"{stage.name}: done already, {record.ended_at}")
    changed = sorted(name for name, value in stage.asked().items() if record.asked.get(name) != value)
    if changed:
        display.fact("note", f"it was done with another {', '.join(changed)}; --again {stage.name} does it anew")


def plans(stages: Sequence[Stage], journal: Journal) -> Iterator[tuple[StageName, str]]:
    """What each stage would do now, in a sentence; nothing is touched.

    Once a stage would stop the week, those after it are said to be waiting.
    """
    done = journal.results()
    for stage in stages:
        if stage.name not in done:
            yield stage.name, stage.plan(done)
            continue
        stop = stage.verdict(done[stage.name])
        yield stage.name, f"done already, {journal.stages[stage.name].ended_at}" + (f"; {stop[1]}" if stop else "")
        if stop is not None:
            yield stage.name, f"the week has ended here ({stop[0].meaning}); --again {stage.name} repeats it"
            return


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM inside the block is what Ctrl-C is, so that a stopped service leaves a journal that says so.

    Training has its own way with both, which saves a checkpoint; it puts this one back when it ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
