"""The chain interaction → export → adapter → deployment, laid out as a constellation of four columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

COLUMNS = ("interactions", "exports", "adapters", "deployments")
ROW_HEIGHT = 72
TOP = 26
BOTTOM = 44


@dataclass(frozen=True)
class Link:
    """One thing in the chain before it is placed: its column, its id, and the ids it came from."""

    column: str
    identifier: str
    label: str
    sources: tuple[str, ...] = ()
    note: str = ""
    url: str | None = None
    bright: bool = False
    """Drawn as the star the page is about."""


@dataclass(frozen=True)
class Star:
    """A placed link: percent across, pixels down."""

    x: float
    y: float
    link: Link


@dataclass(frozen=True)
class Edge:
    """A line between two stars."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Constellation:
    """The whole drawing."""

    stars: list[Star] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    height: int = 0

    def column(self, name: str) -> list[Star]:
        """The stars of one column, top to bottom."""
        return [star for star in self.stars if star.link.column == name]


def constellation(links: Sequence[Link]) -> Constellation:
    """Place every link; each column is centred on the tallest one."""
    rows = {column: [link for link in links if link.column == column] for column in COLUMNS}
    tallest = max((len(column) for column in rows.values()), default=0)
    stars: dict[tuple[str, str], Star] = {}
    for place, name in enumerate(COLUMNS):
        x = 12.5 + 25.0 * place
        offset = (tallest - len(rows[name])) * ROW_HEIGHT / 2
        for row, link in enumerate(rows[name]):
            stars[(name, link.identifier)] = Star(x, TOP + offset + row * ROW_HEIGHT, link)
    edges = [
        Edge(source.x, source.y, star.x, star.y)
        for star in stars.values()
        for source in stars.values()
        if source.link.identifier in star.link.sources and source is not star
    ]
    return Constellation(list(stars.values()), edges, TOP + max(tallest - 1, 0) * ROW_HEIGHT + BOTTOM)
