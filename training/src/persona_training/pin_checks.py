"""What `casiopy doctor` asks of the libraries: there, in the range that works, and the very versions that were tested.

Ranges are this package's own requirements; exact versions are read from the files pip is given, `constraints.txt` and
`training/requirements-unsloth.txt`, so that there is one place for each.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from persona_training.findings import Check

CONSTRAINTS = "constraints.txt"
# In no constraints file, because its builds are chosen by the machine; setup_training installs the same.
TORCH = "torch==2.13.0"
UNSLOTH_SET = "training/requirements-unsloth.txt"
_PIN = re.compile(r"([A-Za-z][\w.-]*)==([\w.!+]+)")
SHOWN = 4


def check_packages(requirements: list[str]) -> Iterator[Check]:
    """Every library this package declares: present, and in the range that was tried."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        remedy = f'pip install "{requirement.name}{requirement.specifier}"'
        version = _installed(requirement.name)
        if version is None:
            yield Check(requirement.name, "fail", "missing", remedy)
        elif requirement.specifier.contains(version, prereleases=True):
            yield Check(requirement.name, "ok", version)
        else:
            yield Check(requirement.name, "fail", f"{version}, but {requirement.specifier} was tried", remedy)


def check_pins(requirements: list[str], root: Path) -> Check:
    """This package's libraries against the versions it was tested with."""
    path = root / CONSTRAINTS
    if not path.is_file():
        return Check("tested versions", "note", f"no {CONSTRAINTS} in {root}", "Run this in the project's folder.")
    wanted, names = read_pins(path) | dict(_PIN.findall(TORCH)), [Requirement(text).name for text in requirements]
    return _compare(
        "tested versions", {n: wanted[_plain(n)] for n in names if _plain(n) in wanted}, "note", _reinstall()
    )


def check_unsloth(root: Path) -> Check:
    """The Unsloth backend and what goes with it, where it is installed: its releases follow each other closely."""
    version = _installed("unsloth")
    path = root / UNSLOTH_SET
    how = f"pip install --no-deps -r {UNSLOTH_SET}"
    if version is None:
        return Check("unsloth", "note", "not installed; the backend hf works without it", f"If it is wanted: {how}")
    if not path.is_file():
        return Check("unsloth", "note", f"{version}; no {UNSLOTH_SET} in {root}", "Run this in the project's folder.")
    there = {name: pin for name, pin in read_pins(path).items() if _installed(name) is not None}
    return _compare("unsloth", there, "fail", how)


def read_pins(path: Path) -> dict[str, str]:
    """Every `name==version` of a file, those its comments name for some machines only included."""
    return {_plain(name): version for name, version in _PIN.findall(path.read_text(encoding="utf-8"))}


def _compare(name: str, wanted: dict[str, str], level: str, remedy: str) -> Check:
    others = [
        f"{library} {here or 'missing'} instead of {version}"
        for library, version in sorted(wanted.items())
        if (here := _installed(library)) is None or Version(here).public != Version(version).public
    ]
    if not others:
        return Check(name, "ok", f"all {len(wanted)} as pinned")
    more = f", and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return Check(name, level, f"{'; '.join(others[:SHOWN])}{more}", remedy)


def _reinstall() -> str:
    return f"pip install -c {CONSTRAINTS} -e . -e training"


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
