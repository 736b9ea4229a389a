"""Reading one seam's folder safely: an id can only ever name a file inside it, and a broken file is said, not raised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from persona_dashboard.service_shapes import FOLDER_ID, Shape

IDENTIFIER = re.compile(FOLDER_ID)

ShapeType = TypeVar("ShapeType", bound=Shape)


class NoSuchEntry(Exception):
    """There is no such entry in the folder."""


@dataclass(frozen=True)
class Reading(Generic[ShapeType]):
    """A file's content, or why it cannot be read; both are None when there is no such file."""

    value: ShapeType | None = None
    fault: str | None = None


class Folder:
    """A folder with one sub-folder per id."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fault(self) -> str | None:
        """Why the folder cannot be listed, or None. A folder that does not exist yet is merely empty."""
        if not self.path.exists():
            return None
        try:
            next(iter(self.path.iterdir()), None)
        except OSError as failure:
            return f"{self.path}: {failure.strerror}"
        return None

    def ids(self, *marks: str) -> Iterator[str]:
        """Ids whose folder holds at least one of the named files; links that lead elsewhere are no entries."""
        if self.fault() or not self.path.exists():
            return
        root = self.path.resolve()
        for entry in root.iterdir():
            inside = IDENTIFIER.fullmatch(entry.name) and entry.resolve() == entry
            if inside and any((entry / mark).is_file() for mark in marks):
                yield entry.name

    def file(self, identifier: str, name: str) -> Path:
        """The path of a file of one entry; raises `NoSuchEntry` when it would lie outside the folder."""
        if not IDENTIFIER.fullmatch(identifier):
            raise NoSuchEntry(identifier)
        root = self.path.resolve()
        path = (root / identifier / name).resolve()
        if not path.is_relative_to(root / identifier):
            raise NoSuchEntry(identifier)
        return path

    def read(self, identifier: str, name: str, shape: type[ShapeType]) -> Reading[ShapeType]:
        """Read one JSON file; a damaged one becomes a fault a person can act on."""
        path = self.file(identifier, name)
        try:
            return Reading(shape.model_validate_json(path.read_bytes()))
        except FileNotFoundError:
            return Reading()
        except NotADirectoryError:
            return Reading()
        except OSError as failure:
            return Reading(fault=f"{path.name}: {failure.strerror}")
        except ValidationError as failure:
            error = failure.errors()[0]
            where = ".".join(map(str, error["loc"]))
            return Reading(fault=f"{path.name}: {where + ': ' if where else ''}{error['msg']}")
