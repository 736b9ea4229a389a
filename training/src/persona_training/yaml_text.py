"""YAML that a person wrote: read strictly, because a key that stands there twice hides one of its two values.

Before anything is built, the text is gone through once as a stream of events: aliases of aliases can stand for more values
than any memory holds, and a text nested deeper than the C stack ends the process.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    _Safe = yaml.SafeLoader
else:  # the one in C reads the shipped battery in a tenth of the time; a few builds of PyYAML lack it
    _Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# The largest file of the shipped battery has 12 000 characters and 546 events, nested 4 deep.
MOST_CHARACTERS = 2_000_000
MOST_VALUES = 100_000
DEEPEST = 50
# No file or report can hold them; YAML itself forbids them unless they are written as escapes.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class _Strict(_Safe):
    """PyYAML's safe loader, but a key stands in a mapping once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As the loader does; merged keys (`<<`) may be written over."""
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        "while reading a mapping",
                        node.start_mark,
                        f"the key {key.value!r} stands there twice",
                        key.start_mark,
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The values in a YAML text.

    Raises:
        yaml.YAMLError: it is none, a key stands twice in one mapping, a text holds a control character, or it is more than
            `MOST_CHARACTERS` long, `DEEPEST` nested or, with every alias written out, `MOST_VALUES` large; the message names
            the line.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it has more than the {MOST_CHARACTERS} characters that are read; split it")
    _weigh(text)
    try:
        return yaml.load(text, Loader=_Strict)  # noqa: S506  (a safe loader: it makes plain values only)
    except (ValueError, LookupError, AttributeError) as error:
        # What looks like a date and is none, such as 2026-13-45, or a tag on what it does not fit, such as `!!bool perhaps`.
        raise yaml.YAMLError(str(error)) from error


def _weigh(text: str) -> None:
    """Refuse what cannot be built, or not in reasonable time, without building it."""
    weights: dict[str, int] = {}  # of what has an anchor, all in it counted
    open_: list[tuple[str | None, int]] = []  # the collections around this place: anchor, and the count before it
    count = 0
    for event in yaml.parse(text, Loader=_Safe):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                weights[anchor] = count - before
        elif isinstance(event, yaml.AliasEvent) and event.anchor is not None:
            if any(anchor == event.anchor for anchor, _ in open_):
                raise _refused(f"*{event.anchor} stands inside what it names", event)
            count += weights.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            if _CONTROL.search(event.value):
                raise _refused("a text holds a control character", event)
            count += 1
        if len(open_) > DEEPEST:
            raise _refused(f"it is nested more than {DEEPEST} deep", event)
        if count > MOST_VALUES:
            raise _refused(f"with its aliases written out it holds more than {MOST_VALUES} values", event)


def _refused(why: str, event: yaml.Event) -> yaml.YAMLError:
    line = f", line {event.start_mark.line + 1}" if event.start_mark is not None else ""
    return yaml.YAMLError(f"{why}{line}")
