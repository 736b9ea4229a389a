"""A draft: what a battery file will hold, with the places where a person should look, and how it becomes a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from persona_training.errors import StorageError
from persona_training.evaluation.battery import Battery, load_battery
from persona_training.evaluation.battery_source import SUFFIXES
from persona_training.probes.errors import ProbesError

LOOK = "LOOK:"


@dataclass(frozen=True)
class Item:
    """One member of a list in the file, and what to look at there; empty where there is nothing."""

    keys: dict[str, Any]
    look: str = ""


@dataclass
class Draft:
    """The keys of a battery in the order of the file.

    Attributes:
        title: first line of the file.
        notes: what it was made from and what was left out, sentences.
        head: name, version, persona, language and the like.
        lists: members with notes of their own: markers, probes, dialogues.
        tail: everything else.
        looks: notes on keys of `head` and `tail`.
    """

    title: str
    notes: list[str] = field(default_factory=list)
    head: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, list[Item]] = field(default_factory=dict)
    tail: dict[str, Any] = field(default_factory=dict)
    looks: dict[str, str] = field(default_factory=dict)

    @property
    def places(self) -> int:
        """Places where a person should look."""
        return len(self.looks) + sum(bool(item.look) for items in self.lists.values() for item in items)

    def text(self) -> str:
        """The file: YAML with comments. The same draft gives the same bytes."""
        lines = [
            f"# DRAFT. {_one_line(self.title)}",
            "#",
            f"# Nobody has read it yet. Go through the places marked `{LOOK}`, put right what is not hers, take the marks out,",
            "# then run `casiopy probes check` on this file. Export with `--battery` and this file's path, so that no dataset",
            "# holds what the gate will ask.",
            *(f"# {_one_line(note)}" for note in self.notes),
        ]
        for key, value in self.head.items():
            lines += [*self._look(key), *_dumped({key: value})]
        for key, items in self.lists.items():
            lines += ["", f"{key}:" if items else f"{key}: []"]
            for item in items:
                lines += [f"  # {LOOK} {_one_line(item.look)}"] if item.look else []
                lines += [f"  {line}" for line in _dumped([item.keys])]
        for key, value in self.tail.items():
            lines += ["", *self._look(key), *_dumped({key: value})]
        return "\n".join(lines) + "\n"

    def _look(self, key: str) -> Iterator[str]:
        if key in self.looks:
            yield f"# {LOOK} {_one_line(self.looks[key])}"


def check_target(path: Path, force: bool) -> None:
    """Refuse a place no draft can or should be written to, before anything is asked.

    Raises:
        ProbesError: it is no .yaml file, there is something already, or its folder is missing.
    """
    if path.suffix not in SUFFIXES:
        raise ProbesError(
            f"{path} must end in .yaml, because that is how a battery is told from the name of a shipped one."
        )
    if path.is_dir() or (path.exists() and not force):
        raise ProbesError(f"{path} is there already and may have been edited. Choose another --output, or add --force.")
    if not path.parent.is_dir():
        raise ProbesError(f"There is no folder {path.parent}. Make it first, or choose another --output.")


def write_draft(path: Path, draft: Draft) -> Battery:
    """Write the file whole or not at all, after it was loaded as the battery it claims to be.

    Raises:
        StorageError: the folder cannot be written.
        BatteryError: the draft is no battery; nothing was written.
    """
    try:
        # In the same folder, because `extends` is relative to it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".draft-", suffix=".yaml")
    except OSError as error:
        raise StorageError(f"Cannot write into {path.parent}: {error.strerror}. Choose another --output.") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(draft.text())
        battery = load_battery(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}. Choose another --output.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return battery


def _one_line(text: str) -> str:
    """A comment ends with its line, whatever name or phrase is in it."""
    return "".join(character if character.isprintable() else " " for character in text)


class _Dumper(yaml.SafeDumper):
    """Tuples stand on one line: [0.1, 0.5]."""


_Dumper.add_representer(
    tuple, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)
_Dumper.add_representer(
    str,
    # Line breaks and what cannot be seen are written as escapes: plain YAML would read U+0085 back as a space.
    lambda dumper, value: dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"'
    ),
)


def _dumped(value: Any) -> list[str]:
    text: str = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=10_000)
    return text.rstrip("\n").split("\n")
