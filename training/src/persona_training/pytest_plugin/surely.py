"""A figure with the interval around it, which holds a claim only when the whole interval does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True)
class Seen:
    """One reply behind a figure: what was said, what she replied, and its own value."""

    prompt: str
    reply: str
    value: float


@dataclass(frozen=True, eq=False)
class Surely:
    """A share or another measure of her replies.

    `figure <= 0.05` holds when the upper end of the interval does, `figure >= 0.5` when the lower end does: the claim is then
    true with 95 % confidence, and one that fails is refuted or not shown yet; the message says which. So `not (figure <= x)`
    does not mean that it is above x. For the bare figure compare `.value`.

    Attributes:
        name: what was looked for.
        value: of the replies heard.
        low, high: one-sided 95 % bounds.
        unit: of the three.
        clusters: prompts it rests on; replies to the same prompt are no independent evidence.
        seen: the replies behind it.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str
    clusters: int
    seen: Sequence[Seen] = ()

    def __le__(self, bound: float) -> bool:
        """Is it surely at most that much?"""
        return self.high <= bound

    def __lt__(self, bound: float) -> bool:
        """Is it surely less?"""
        return self.high < bound

    def __ge__(self, bound: float) -> bool:
        """Is it surely at least that much?"""
        return self.low >= bound

    def __gt__(self, bound: float) -> bool:
        """Is it surely more?"""
        return self.low > bound

    def __float__(self) -> float:
        """The bare figure."""
        return self.value

    def __bool__(self) -> NoReturn:
        """A figure is neither true nor false.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"Compare {self.name} with a bound, such as `persona.rate(…) <= 0.05`.")

    def __str__(self) -> str:
        """The figure and its bounds: "2.5 % of replies [0.7 %, 6.3 %], 40 prompts"."""
        ends = f"[{shown(self.low, self.unit)}, {shown(self.high, self.unit)}]"
        unit = self.unit.removeprefix("share").strip()
        return f"{shown(self.value, self.unit)} {unit}".rstrip() + f" {ends}, {self.clusters} prompts"

    __repr__ = __str__


def shown(value: float, unit: str) -> str:
    """A share in per cent, anything else as it is."""
    return f"{100 * value:.1f} %" if unit.startswith("share") else f"{value:.3g}"
