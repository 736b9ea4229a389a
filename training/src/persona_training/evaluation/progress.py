"""What a person watching a gate sees: who speaks, in which round, and how much is still open."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from persona_training.evaluation.comparison import Comparison
from persona_training.evaluation.judgement import Finding, Judgement


class HearingBar:
    """A live bar on a terminal; in a file or a pipe one line per look."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description:>14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, note="")

    @contextmanager
    def shown(self, total: int) -> Iterator[None]:
        """Show the bar while `total` replies are drawn."""
        self._bar.update(self._task, total=total)
        if not self._console.is_terminal:
            yield
            return
        with self._bar:
            yield

    def turn(self, sample: int, samples: int, voice: str) -> None:
        """Somebody's turn in a round, both counted from 0."""
        self._bar.update(self._task, description=f"round {sample + 1}/{samples} {voice}")

    def heard(self, replies: int) -> None:
        """So many replies more."""
        self._bar.advance(self._task, replies)

    def looked(self, judgement: Judgement) -> None:
        """What a look at everything heard so far says."""
        text = state_of(judgement.findings)
        self._bar.update(self._task, note=text)
        if not self._console.is_terminal:
            self._console.print(f"          look {judgement.look}/{judgement.looks} · {text}", soft_wrap=True)


def state_of(findings: Sequence[Finding]) -> str:
    """ "2 of 11 open: Length, Right answers; widest Length ±4.10 words of ±6.00": the last by its share of what is allowed."""
    deciding = [finding for finding in findings if finding.decides]
    undecided = [finding.metric.title for finding in deciding if finding.verdict == "inconclusive"]
    text = f"{len(undecided)} of {len(deciding)} open" + (f": {', '.join(undecided[:3])}" if undecided else "")
    if len(undecided) > 3:
        text += f" and {len(undecided) - 3} more"
    widths = [(width, finding, one) for finding in deciding for one in finding.comparisons if (width := _width(one))]
    if not widths:
        return text
    _, finding, one = max(widths, key=lambda found: found[0])
    half = (one.interval[1] - one.interval[0]) / 2
    whom = "by itself" if one.opponent == "alone" else f"against the {one.opponent}"
    return f"{text}; widest {finding.metric.title} ±{half:.2f} {finding.metric.unit} {whom}"


def _width(one: Comparison) -> float:
    """Width of the interval in units of what is allowed: of the whole range, or twice its distance from 0 where it is open."""
    low, high = one.allowed
    edges = [abs(edge) for edge in (low, high) if not math.isinf(edge)]
    room = high - low if len(edges) == 2 else 2 * max(edges, default=0.0)
    width = one.interval[1] - one.interval[0]
    return width / room if room > 0 else width
