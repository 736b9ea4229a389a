"""How the demo's console page looks: numbered chapters, plain tables, bars."""

from rich.table import Table

from casiopy.stack import Stack


def title(stack: Stack, text: str) -> None:
    """Announce a chapter."""
    stack.console.print()
    stack.console.rule(f"[bold]{text}", align="left", style="dim")


def table(*headings: str) -> Table:
    """A plain table."""
    made = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in headings:
        made.add_column(heading, justify="right" if heading in {"count", "score"} else "left")
    return made


def bar(value: float, largest: float, width: int = 36) -> str:
    """`value` as blocks, `width` of them for `largest`; anything above zero shows at least a sliver."""
    if value <= 0:
        return ""
    eighths = max(1, round(width * 8 * value / max(largest, value)))
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]
