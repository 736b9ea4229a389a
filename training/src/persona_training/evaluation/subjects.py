"""Who is being judged: from the name on the command line to an adapter folder or an Ollama tag, with the reason why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from persona_training.adapters import Manifest, adapter_chain, adapters_in, finished_adapter, read_adapter
from persona_training.errors import AdapterError
from persona_training.evaluation.joins import Join, find_join, join_of, read_join
from persona_training.ollama.ledger import live_entry

Backend = Literal["transformers", "ollama", "openai"]

_WEEK_TAG = re.compile(r"^(?P<name>[\w./-]+):week(?P<week>\d{1,2})$")


class UnknownModelError(AdapterError):
    """Nothing is called what was asked for, or nobody serves it."""


@dataclass(frozen=True)
class Subject:
    """One model of a comparison.

    Attributes:
        name: as asked for: an adapter id, a folder, a tag.
        backend: where it replies.
        folder: the adapter folder, or that of a join; None for a tag that no adapter here is known for.
        manifest: of that adapter; None for a join.
        reason: why this backend and adapter were chosen.
        join: several layers as one adapter, where that is what is judged.
    """

    name: str
    backend: Backend
    folder: Path | None
    manifest: Manifest | None
    reason: str
    join: Join | None = None

    @property
    def adapter_id(self) -> str | None:
        """The adapter's id; None for a join, which has none of its own."""
        return None if self.manifest is None else str(self.manifest["adapter_id"])

    @property
    def weights_sha256(self) -> str | None:
        """Hash of the adapter's weights, or None."""
        if self.join is not None:
            return self.join.weights_sha256
        if self.manifest is None or self.manifest["weights"] is None:
            return None
        return str(self.manifest["weights"]["sha256"])

    @property
    def layer(self) -> int | None:
        """1, 2 or 3, or None."""
        return None if self.manifest is None else int(self.manifest["layer"])


def find_adapter(name: str, adapters_dir: Path) -> Path | None:
    """The folder of an adapter id or path, or None."""
    for candidate in (adapters_dir / name, Path(name)):
        if (candidate / "manifest.json").is_file():
            return candidate
    return None


def newest_adapter_of_week(adapters_dir: Path, week: int, year: int | None = None) -> Path | None:
    """The newest finished layer-2 adapter of an ISO week (of any year when none is given), or None."""
    for folder, manifest in adapters_in(adapters_dir):
        of = manifest["week"]
        usable = manifest["layer"] == 2 and manifest["status"] == "finished"
        if usable and of and of["number"] == week and year in (None, of["year"]):
            return folder
    return None


def week_of_tag(tag: str) -> int | None:
    """5 for "casiopy:week05", None for other names."""
    match = _WEEK_TAG.match(tag)
    return int(match["week"]) if match else None


def find_subject(
    name: str,
    adapters_dir: Path,
    *,
    wanted: Backend | None,
    tag_is_served: Callable[[str], bool],
    adapter_of_tag: Callable[[str], str | None],
) -> Subject:
    """Resolve a name.

    Args:
        name: adapter id or folder, or an Ollama tag such as casiopy:week05.
        adapters_dir: where adapters live.
        wanted: a backend asked for, or None to choose: an adapter replies in this process, a tag that Ollama knows replies
            there, and a weekly tag that it does not know means the newest adapter of that week.
        tag_is_served: does a reachable Ollama know this tag?
        adapter_of_tag: the adapter a tag was deployed from, or None.

    Raises:
        UnknownModelError: nothing is known under that name, or not for the backend asked for.
        AdapterError: what is known is damaged.
    """
    folder = find_adapter(name, adapters_dir)
    if folder is not None and wanted != "ollama":
        return Subject(name, "transformers", folder, read_adapter(folder), f"{folder} is an adapter folder")
    joined = find_join(name, adapters_dir)
    if joined is not None and wanted != "ollama":
        join = read_join(joined)
        return Subject(name, "transformers", joined, None, f"{joined} is a join of {join.names}", join)
    if folder is None and joined is None and wanted != "transformers" and tag_is_served(name):
        return _tag(name, adapter_of_tag(name), adapters_dir)
    if wanted == "ollama":
        raise UnknownModelError(
            f"Ollama does not serve a model called {name!r}, or does not answer. See `ollama list`."
        )
    week = week_of_tag(name)
    weekly = newest_adapter_of_week(adapters_dir, week) if week is not None else None
    if weekly is not None:
        why = f"no reachable Ollama serves {name}, so the newest adapter of week {week} replies: {weekly.name}"
        return Subject(name, "transformers", weekly, read_adapter(weekly), why)
    raise _nobody(name, adapters_dir)


def _tag(name: str, known: str | None, adapters_dir: Path) -> Subject:
    """A served tag; `known` is the adapter it was deployed from."""
    home = find_adapter(known, adapters_dir) if known else None
    told = f"deployed from {known}" if known else "of unknown origin"
    return Subject(name, "ollama", home, read_adapter(home) if home else None, f"Ollama serves the tag {name}, {told}")


def _nobody(name: str, adapters_dir: Path) -> UnknownModelError:
    known = ", ".join(manifest["adapter_id"] for _, manifest in list(adapters_in(adapters_dir))[:6]) or "none yet"
    return UnknownModelError(
        f"Nothing is called {name!r}: not an adapter in {adapters_dir} ({known}), and no reachable Ollama serves it."
    )


def default_baseline(subject: Subject, adapters_dir: Path) -> tuple[Path | None, str]:
    """What an adapter or a join is compared with when nobody says, and why.

    What is live now, if it is another version on the same base; else the layer it was trained on, for a join the newest of its
    layers that is no skill, if that is not all of it. A layer 1 is compared with the layer 1 beneath what is live, and has
    to rise above the base where nothing is.

    Raises:
        AdapterError: the parent is gone, or what is live is damaged.
    """
    if subject.manifest is None and subject.join is None:
        return None, "no parent: it must rise above the base model"
    live, why_not = _live(subject, adapters_dir)
    if live is not None:
        return live, f"what is live: {live.name}"
    if subject.join is not None:
        ground, why = subject.join.ground(adapters_dir)
        return ground, f"{why} ({why_not})"
    parent = None if subject.manifest is None else subject.manifest["parent"]
    if parent is None:
        return None, f"no parent, and {why_not}: it must rise above the base model"
    folder = adapters_dir / str(parent["adapter_id"])
    if not (folder / "manifest.json").is_file():
        raise AdapterError(
            f"The parent {folder.name} of {subject.adapter_id} is not in {adapters_dir}. Restore it or give --baseline."
        )
    return folder, f"the layer it was trained on: {folder.name} ({why_not})"


def _live(subject: Subject, adapters_dir: Path) -> tuple[Path | None, str]:
    """The adapter or join behind the live tag of the subject's persona, or None and why it is not what to compare with."""
    own = subject.manifest or _lowest_layer(subject, adapters_dir)
    entry = live_entry(None if own is None else own.get("persona"), adapters_dir)
    if entry is None:
        return None, "nothing is live"
    name = entry.get("adapter_id")
    folder = adapters_dir / str(name)
    if not name or not (folder / "manifest.json").is_file():
        return None, f"what is live, {name or entry.get('tag')}, is not in {adapters_dir}"
    return _as_reference(folder, entry.get("skills") or [], subject, adapters_dir)


def _lowest_layer(subject: Subject, adapters_dir: Path) -> Manifest | None:
    folder = None if subject.join is None else adapters_dir / str(subject.join.layers[0]["adapter_id"])
    return read_adapter(folder) if folder is not None and (folder / "manifest.json").is_file() else None


def _as_reference(folder: Path, skills: Sequence[str], subject: Subject, adapters_dir: Path) -> tuple[Path | None, str]:
    stack = adapter_chain(folder)
    live, pinned = stack[-1], finished_adapter(stack[-1])
    weights, base = pinned["weights"]["sha256"], pinned["base_model"]
    if subject.layer == 1:
        live = stack[0]
        weights = finished_adapter(live)["weights"]["sha256"]
    elif skills:
        joined = join_of([*(layer.name for layer in stack), *skills], adapters_dir)
        if joined is None:
            return (
                None,
                f"what is live, {folder.name} with {', '.join(skills)}, is not joined in {adapters_dir / 'joined'}",
            )
        live, weights = joined.folder, joined.weights_sha256
    if weights == subject.weights_sha256:
        return None, "it is what is live itself"
    own_base = subject.join.base_model if subject.join is not None else (subject.manifest or {}).get("base_model")
    if own_base is not None and base["sha256"] != own_base["sha256"]:
        return None, f"what is live, {live.name}, stands on another base"
    return live, ""
