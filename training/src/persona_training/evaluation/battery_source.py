"""Where a battery's words stand: one YAML file or a folder of them, on top of another battery or not.

A folder is read file by file in alphabetical order and joined: a list may go on in the next file, anything else stands in one
of them. `extends: NAME` (a shipped battery) or `extends: PATH` (relative to the file that says so) puts the battery on top of
another: its lists are added, what has the id or name of something below replaces it, single values win.

The shape of each file is checked alone, so that a complaint names the file and the key in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.exceptions import best_match

from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.patterns import NO_PATTERN, is_pattern, objection
from persona_training.yaml_text import MOST_CHARACTERS, read_yaml

SUFFIXES = (".yaml", ".yml")
# Lists whose members have a name, and the key it is under; lists of bare words; single values.
NAMED = {"markers": "name", "probes": "id", "dialogues": "id"}
BARE = ("canaries", "neutral_replies")
GROUPED = ("forbidden", "corpora")
MOST_LAYERS = 20  # one on top of another; a year of weeks is that many files side by side, not a tower
_KINDS = {"string": "text", "array": "list", "object": "mapping", "integer": "whole number"}
REQUIRED = ("name", "version", "persona", "language", "markers", "forbidden", "neutral_replies", "probes")


class BatteryError(PersonaTrainingError):
    """A battery is missing or malformed; the message names the file, the key and what to do."""


@dataclass(frozen=True)
class Part:
    """One YAML file of a battery, its shape checked."""

    file: str
    content: str
    keys: dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A whole battery in plain words.

    Attributes:
        keys: every required key and those of the optional ones that were given.
        sha256: of the file, where it is one; otherwise of the name and content of all files in the order of reading.
    """

    keys: dict[str, Any]
    sha256: str


def shipped_names() -> list[str]:
    """The batteries that come with the package, in order."""
    return sorted({entry.name.removesuffix(".yaml") for entry in _shipped().iterdir() if _is_battery(entry)})


def read_source(source: str | Path) -> Source:
    """Read and join the files of a battery: the name of a shipped one, a YAML file or a folder of them.

    Raises:
        BatteryError: there is none, a file is not YAML or has a wrong shape, or a required key is in no file.
    """
    layers = _layers(_find(source), str(source), ())
    keys = _joined(layers)
    for key in REQUIRED:
        if key not in keys:
            raise BatteryError(f"The battery {source} lacks the key `{key}`. Add it, or `extends:` a battery with it.")
    for group in ("assistant", "refusal"):
        if group not in keys["forbidden"]:
            raise BatteryError(
                f"The battery {source} lacks the key `forbidden.{group}`. Add it; an empty list will do."
            )
    if not keys["probes"]:
        raise BatteryError(f"The battery {source} asks nothing: `probes` is empty. Add at least one.")
    return Source(keys, _sha256([part for layer in layers for part in layer]))


def _shipped() -> Traversable:
    return resources.files("persona_training.evaluation") / "batteries"


def _is_battery(entry: Traversable) -> bool:
    return entry.name.endswith(".yaml") if entry.is_file() else not entry.name.startswith(("_", "."))


def is_bare_word(source: str) -> bool:
    """Does it look like the name of a shipped battery, and not like a path?"""
    return not source.endswith(SUFFIXES) and "/" not in source and "\\" not in source


def _find(source: str | Path, beside: Path | None = None) -> Traversable:
    """A bare word is the name of a shipped battery; anything else is a path, relative to `beside` where that is given."""
    text = str(source)
    if is_bare_word(text):
        for entry in (_shipped() / text, _shipped() / f"{text}.yaml"):
            if text.strip(".") and (entry.is_dir() or entry.is_file()):
                return entry
        if not Path(text).is_dir():
            raise BatteryError(
                f"No shipped battery is called {text!r}. Give one of {', '.join(shipped_names())}, "
                "or the path of a .yaml file or of a folder of them."
            )
    path = Path(text) if beside is None else beside / text
    if path.is_dir() or (path.is_file() and path.suffix in SUFFIXES):
        return path
    raise BatteryError(f"No battery file at {path}. Give a .yaml file or a folder of them.")


def _layers(found: Traversable, label: str, above: tuple[str, ...]) -> list[list[Part]]:
    """The battery at the bottom first."""
    place = str(Path(str(found)).resolve())  # a link leads to the same file by another name
    if place in above:
        raise BatteryError(f"The battery {label} extends itself, by way of {' -> '.join((*above, place))}.")
    if len(above) >= MOST_LAYERS:
        raise BatteryError(f"{above[0]} stands on more than {MOST_LAYERS} batteries. Join some of them in a folder.")
    files = [found] if found.is_file() else sorted(_yaml_files(found), key=lambda entry: entry.name)
    if not files:
        raise BatteryError(f"No .yaml file is in the battery folder {label}. Give a folder with at least one.")
    parts = [_part(file) for file in files]
    extending = [part for part in parts if "extends" in part.keys]
    if not extending:
        return [parts]
    if len(extending) > 1:
        raise _twice("extends", extending[0], extending[1])
    if not any("name" in part.keys for part in parts):
        raise BatteryError(
            f"{extending[0].file}: `name` is missing. A battery on top of another needs a name of its own."
        )
    base = str(extending[0].keys["extends"])
    beside = Path(str(found)) if found.is_dir() else Path(str(found)).parent
    return [*_layers(_find(base, beside), base, (*above, place)), parts]


def _yaml_files(folder: Traversable) -> Iterable[Traversable]:
    return (entry for entry in folder.iterdir() if entry.is_file() and entry.name.endswith(SUFFIXES))


def _part(file: Traversable) -> Part:
    try:
        with file.open("r", encoding="utf-8") as stream:
            content = stream.read(MOST_CHARACTERS + 1)  # one more, and it is refused
    except (OSError, UnicodeDecodeError) as error:
        raise BatteryError(f"{file} cannot be read: {error}. It has to be a readable text file in UTF-8.") from error
    try:
        keys = read_yaml(content)
    except yaml.YAMLError as error:
        raise BatteryError(f"{file} is not valid YAML: {error}") from error
    if not isinstance(keys, dict):
        raise BatteryError(f"{file} must be a mapping with keys such as name, markers and probes.")
    wrong = best_match(_validator().iter_errors(keys))
    if wrong is not None:
        raise BatteryError(f"{file}: {_explained(wrong, keys)}")
    for marker in keys.get("markers", ()):
        low, high = marker["band"]
        if not 0 <= low <= high <= 1:  # .nan is a number too
            raise BatteryError(
                f"{file}: markers, {marker['name']}, band: the lower share comes first, and both are numbers."
            )
    for place, source in _patterns(keys):
        why = objection(source)
        if why is not None:
            raise BatteryError(f"{file}: {place}: {why}")
    return Part(str(file), content, keys)


def _patterns(keys: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every regular expression, after the place it stands at."""
    for marker in keys.get("markers", ()):
        yield f"markers, {marker['name']}, pattern", marker["pattern"]
    for group, sources in keys.get("forbidden", {}).items():
        yield from ((f"forbidden, {group}", source) for source in sources)
    yield from (("canaries", source) for source in keys.get("canaries", ()))


@cache
def _validator() -> Draft202012Validator:
    schema = (resources.files("persona_training.evaluation") / "battery.schema.json").read_text(encoding="utf-8")
    checker = FormatChecker(formats=())
    checker.checks("regex", raises=NO_PATTERN)(is_pattern)
    return Draft202012Validator(json.loads(schema), format_checker=checker)


def _explained(wrong: ValidationError, keys: dict[str, Any]) -> str:
    """The place by ids rather than by numbers, and what belongs there."""
    value = repr(wrong.instance if len(str(wrong.instance)) <= 60 else f"{str(wrong.instance)[:60]}…")
    wanted: Any = wrong.validator_value
    within: Any = wrong.schema
    match wrong.validator:
        case "type":
            said = f"{value} is no {_KINDS.get(wanted, wanted)}" + ("; put it in quotes" if wanted == "string" else "")
        case "enum":
            said = f"{value} must be one of {', '.join(wanted)}"
        case "format":
            said = f"{value} is no regular expression"
        case "pattern":
            said = (
                f"{value} is empty" if wanted == r"\S" else f"{value} must {within.get('description', f'be {wanted}')}"
            )
        case "minimum" | "maximum":
            said = f"{value} must be {'at least' if wrong.validator == 'minimum' else 'at most'} {wanted}"
        case "maxLength":
            said = f"it has {len(str(wrong.instance))} characters, and {wanted} are the most"
        case "minItems" | "maxItems":
            said = f"it needs {'at least' if wrong.validator == 'minItems' else 'at most'} {wanted}"
        case "additionalProperties":
            said = f"{wrong.message}; known here are {', '.join(within['properties'])}"
        case _:
            said = wrong.message
    return f"{_place(wrong, keys)}: {said}."


def _place(wrong: ValidationError, keys: dict[str, Any]) -> str:
    names = []
    here: Any = keys
    for step in wrong.absolute_path:
        here = here[step]
        name = (here.get("id") or here.get("name")) if isinstance(here, dict) else None
        names.append(
            str(name) if name and isinstance(step, int) else f"number {step + 1}" if isinstance(step, int) else step
        )
    return ", ".join(names) or "at the top"


def _joined(layers: Sequence[Sequence[Part]]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for layer in layers:
        origin: dict[tuple[str, ...], Part] = {}
        for part in layer:
            for key, value in part.keys.items():
                if key in NAMED:
                    _add_named(joined.setdefault(key, {}), key, value, part, origin)
                elif key in BARE:
                    joined[key] = _once([*joined.get(key, ()), *value])
                elif key in GROUPED:
                    group = joined.setdefault(key, {})
                    for name, items in value.items():
                        group[name] = _once([*group.get(name, ()), *items])
                else:
                    _claim(origin, (key,), part)
                    joined[key] = value
    return {key: list(value.values()) if key in NAMED else value for key, value in joined.items()}


def _add_named(
    into: dict[str, Any], key: str, items: list[dict[str, Any]], part: Part, origin: dict[tuple[str, ...], Part]
) -> None:
    for item in items:
        name = item[NAMED[key]]
        _claim(origin, (key, name), part)
        into[name] = item


def _claim(origin: dict[tuple[str, ...], Part], place: tuple[str, ...], part: Part) -> None:
    if place in origin:
        raise _twice(", ".join(place), origin[place], part)
    origin[place] = part


def _twice(place: str, first: Part, second: Part) -> BatteryError:
    where = second.file if first.file == second.file else f"{second.file}, after {first.file}"
    return BatteryError(f"{where}: {place} is used twice. Keep one of them, or rename the other.")


def _once(items: list[Any]) -> list[Any]:
    """In order, each once; pairs are mappings of texts."""
    return list({tuple(sorted(item.items())) if isinstance(item, dict) else item: item for item in items}.values())


def _sha256(parts: Sequence[Part]) -> str:
    if len(parts) == 1:
        return hashlib.sha256(parts[0].content.encode()).hexdigest()
    digest = hashlib.sha256()
    for part in parts:
        # The folder a battery lies in is no part of what it says.
        digest.update(f"{Path(part.file).name}\0{part.content}\0".encode())
    return digest.hexdigest()
