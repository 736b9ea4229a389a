"""What a check found, and the table of it: shared by `casiopy doctor` and by the look before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fail": "[red]fail[/]"}


@dataclass(frozen=True)
class Check:
    """One finding. `level` is "ok", "note" (works, with a limit) or "fail"; `remedy` says what to do."""

    name: str
    level: str
    found: str
    remedy: str = ""

    @property
    def failed(self) -> bool:
        """Whether it stands in the way."""
        return self.level == "fail"


def show(checks: Sequence[Check], console: Console) -> None:
    """A table on a terminal; in a file or a pipe a line each, never wrapped, so that commands can be copied."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    if not console.is_terminal:
        for check in checks:
            remedy = f" → {check.remedy}" if check.remedy else ""
            console.print(Text(f"{check.level:>4}  {check.name}: {check.found}{remedy}"), soft_wrap=True)
        return
    table = Table("", "check", "found", "what to do", box=None, pad_edge=False)
    for check in checks:
        table.add_row(MARKS[check.level], check.name, escape(check.found), escape(check.remedy))
    console.print(table)
