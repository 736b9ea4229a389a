"""What a failed claim about her says to the person who reads it."""

from __future__ import annotations

from collections.abc import Iterator

from persona_training.pytest_plugin.surely import Surely, shown

MOST_REPLIES = 5
WIDTH = 160


def explain(figure: Surely, op: str, bound: float) -> Iterator[str]:
    """The lines under `assert`: the claim, whether it is refuted or not shown, and the replies that speak against it."""
    yield f"{figure.name} {op} {shown(bound, figure.unit)}"
    yield f"heard: {figure}"
    if op not in {"<=", "<", ">=", ">"}:
        yield "Compare figures with <=, <, >= or >, or compare their .value."
        return
    at_most = op in {"<=", "<"}
    refuted = figure.low > bound if at_most else figure.high < bound
    holds = figure.value <= bound if at_most else figure.value >= bound
    if refuted:
        yield f"Refuted: even the {'lower' if at_most else 'upper'} end of the interval is beyond the bound."
    else:
        end = shown(figure.high if at_most else figure.low, figure.unit)
        alike = len({one.value for one in figure.seen}) == 1 and figure.clusters > 1
        more = "more probes" if alike else "more probes or --persona-samples"
        yield f"Not shown: it might be {end}. " + (
            f"The figure itself keeps the bound; {more} would show it."
            if holds
            else "The figure itself is beyond the bound."
        )
    against = _against(figure, at_most, bound)
    if against:
        yield f"{'Replies that speak against it' if not holds or refuted else 'Nearest to it'}:"
    for one in against[:MOST_REPLIES]:
        yield f"  {_cut(one[0])!r} -> {_cut(one[1])!r}"
    if len(against) > MOST_REPLIES:
        yield f"  and {len(against) - MOST_REPLIES} more"


def _against(figure: Surely, at_most: bool, bound: float) -> list[tuple[str, str]]:
    """The replies whose own value is on the wrong side, the worst first."""
    wrong = [one for one in figure.seen if (one.value > bound if at_most else one.value < bound)]
    wrong.sort(key=lambda one: -one.value if at_most else one.value)
    return [(one.prompt, one.reply) for one in wrong]


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
