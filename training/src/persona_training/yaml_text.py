"""YAML that a person wrote: read strictly, because a key that stands there twice hides one of its two values."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    _Safe = yaml.SafeLoader
else:  # the one in C reads the shipped battery in a tenth of the time; a few builds of PyYAML lack it
    _Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
        yaml.YAMLError: it is none, or a key stands twice in one mapping; the message names the line.
    """
    try:
        return yaml.load(text, Loader=_Strict)  # noqa: S506  (a safe loader: it makes plain values only)
    except ValueError as error:  # what looks like a date and is none, such as 2026-13-45
        raise yaml.YAMLError(str(error)) from error
