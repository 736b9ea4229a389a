"""What a person watching a run sees: the facts before it, one example as the loss sees it, a live bar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from persona_training.chat_template import Example, preview
from persona_training.findings import Check, show
from persona_training.tiny.build import Progress as TinyProgress

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Steps between lines when the output is a file or a pipe, where a bar would be noise.
PLAIN_EVERY = 20


class Display:
    """Prints to a rich console; on a terminal with a live bar, else as plain lines."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._bar: Progress | None = None
        self._task: Any = None

    def fact(self, name: str, text: str) -> None:
        """One line about a choice and its reason."""
        # Soft wrap: in a file or a pipe a line stays whole, so that paths and commands can be copied.
        self.console.print(Text.assemble((f"{name:>14}  ", "bold cyan"), text), soft_wrap=not self.console.is_terminal)

    def preview(self, tokenizer: PreTrainedTokenizerBase, example: Example) -> None:
        """One example: what the loss sees in green, what it skips dimmed."""
        self.fact("first example", f"{example.learned} of {len(example.input_ids)} tokens learned, shown in [ ]")
        text = Text("                ")
        for part, learned in preview(tokenizer, example):
            shown = part.replace("\n", "⏎")
            text.append(f"[{shown}]" if learned else shown, style="green" if learned else "dim")
        self.console.print(text)

    def checks(self, title: str, found: Sequence[Check]) -> None:
        """A table of findings, under a line that counts them."""
        levels = [check.level for check in found]
        counts = f"{levels.count('ok')} ok, {levels.count('note')} to note, {levels.count('fail')} in the way"
        self.fact(title, counts)
        show(found, self.console)

    @contextmanager
    def building_base(self) -> Iterator[TinyProgress]:
        """A bar for building the tiny model, shown only when it has to be built."""
        bar = self._new_bar("pre-training the tiny model")

        def progress(step: int, total: int, loss: float) -> None:
            if self._bar is None:
                self._start(bar, total)
            self._advance(step, total, f"loss {loss:.3f}")

        try:
            yield progress
        finally:
            self._stop()

    @contextmanager
    def training(self, label: str, total: int, done: int) -> Iterator[None]:
        """A bar for the run's steps."""
        self._start(self._new_bar(label), total)
        self._advance(done, total, "")
        try:
            yield
        finally:
            self._stop()

    def step(self, line: dict[str, Any]) -> None:
        """A metrics line, as `RunFolder.add` returns it."""
        if line["eval_loss"] is not None:
            self.console.print(f"          step {line['step']}: loss on held-out rows {line['eval_loss']:.3f}")
            return
        self._advance(
            line["step"],
            line["total_steps"],
            f"loss {line['loss']:.3f} · {line['tokens_per_second']:.0f} tokens/s · {_duration(line['eta_seconds'])} left",
        )

    def _new_bar(self, label: str) -> Progress:
        return Progress(
            TextColumn(f"{label:>14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )

    def _start(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=total, note="")
        if self.console.is_terminal:
            bar.start()

    def _advance(self, step: int, total: int, note: str) -> None:
        if self._bar is None:
            return
        if self.console.is_terminal:
            self._bar.update(self._task, completed=step, note=note)
        elif note and (step % PLAIN_EVERY == 0 or step == total):
            self.console.print(f"          step {step}/{total} · {note}")

    def _stop(self) -> None:
        if self._bar is not None and self.console.is_terminal:
            self._bar.stop()
        self._bar = None


def _duration(seconds: float) -> str:
    """ "42 s", "3 min 05 s", "2 h 07 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
