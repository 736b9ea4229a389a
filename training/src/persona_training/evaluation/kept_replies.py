"""What a voice said, kept from one gate to the next and from an interrupted one to its repetition.

The bare base, the golden version and last week's are asked nearly the same every week. What they say depends on nothing but the
weights, the software, the conversations, the sampling and the seed, so it is drawn once. Each voice has a file named after a
hash of the first two, and in it a line per portion of conversations, named after a hash of the rest. The same file is what
survives a Ctrl-C, a crash or a server that dies.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from persona_training.adapters import append_whole
from persona_training.errors import StorageError
from persona_training.generation import Replier, Sampling
from persona_training.hashing import sha256_json
from persona_training.messages import Message, as_dicts

FOLDER = "gate"
SCHEMA = "casiopy/kept-replies-v1"
_SOFTWARE = ("casiopy-training", "torch", "transformers", "peft")


def software() -> dict[str, str]:
    """The versions that a reply drawn in this process depends on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _SOFTWARE}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


@dataclass
class KeptVoice:
    """A voice with a memory: it draws what it was not asked before, and repeats the rest. A `Replier` itself.

    Attributes:
        name: as the voice is called.
        path: of its file.
        identity: what its words depend on beside the conversation; the file's first line.
        speak: gives the voice; called when the first thing has to be drawn, so that a model is not loaded in vain.
        kept: name of a portion to the replies in it, or to losses.
        reused: portions that did not have to be drawn.
        drawn: portions that had to.
    """

    name: str
    path: Path
    identity: Mapping[str, Any]
    speak: Callable[[], Replier]
    kept: dict[str, list[Any]] = field(default_factory=dict)
    reused: int = 0
    drawn: int = 0

    def reply(self, conversations: Sequence[Sequence[Message]], sampling: Sampling, seed: int) -> list[str]:
        """One reply per conversation, in order."""
        asked = [as_dicts(conversation) for conversation in conversations]
        portion = sha256_json(["replies", asked, asdict(sampling), seed])[:32]
        return [str(said) for said in self.once(portion, lambda: self.speak().reply(conversations, sampling, seed))]

    def losses(self, told: Sequence[object], measure: Callable[[], list[float]]) -> list[float]:
        """The losses of texts; `told` is everything they depend on."""
        return [float(loss) for loss in self.once(sha256_json(["losses", *told])[:32], measure)]

    def once(self, portion: str, draw: Callable[[], Sequence[Any]]) -> list[Any]:
        """What was kept under a name, or what `draw` gives, which is then kept."""
        if portion in self.kept:
            self.reused += 1
            return self.kept[portion]
        found = list(draw())
        self.drawn += 1
        self.kept[portion] = found
        new = [] if self.path.is_file() else [{"schema": SCHEMA, "voice": dict(self.identity)}]
        _append(self.path, [*new, {"portion": portion, "said": found}])
        return found

    def forget(self) -> None:
        """Remove the file: for a voice that may be another one tomorrow under the same name."""
        self.path.unlink(missing_ok=True)


def open_kept(
    data_dir: Path, name: str, identity: Mapping[str, Any], speak: Callable[[], Replier], *, afresh: bool = False
) -> KeptVoice:
    """A voice with what was kept of it.

    A line torn by a crash ends what is used; the file is cut there, so that later lines are whole.

    Args:
        data_dir: CASIOPY_DATA.
        name: as the voice is called.
        identity: what its words depend on: the hashes of its weights, how it is served, the software.
        speak: gives the voice.
        afresh: use nothing that was kept; what is drawn now takes its place.

    Raises:
        StorageError: the file cannot be read, or cut.
    """
    voice = KeptVoice(name, data_dir / FOLDER / f"{sha256_json(identity)[:24]}.jsonl", identity, speak)
    if not voice.path.is_file():
        return voice
    try:
        lines = voice.path.read_bytes().split(b"\n")
    except OSError as error:
        raise StorageError(f"Cannot read {voice.path}: {error.strerror}. Delete it; it is drawn again.") from error
    good = 0  # bytes of the lines that are whole
    for raw in lines[:-1]:
        try:
            line = json.loads(raw.decode("utf-8", errors="replace"))
            if good and "schema" not in line:
                voice.kept[str(line["portion"])] = list(line["said"])
            elif line["schema"] != SCHEMA:
                break
        except (ValueError, KeyError, TypeError):
            break
        good += len(raw) + 1
    if good != sum(map(len, lines)) + len(lines) - 1:
        _cut(voice.path, good) if good else voice.forget()
    if afresh:
        voice.kept.clear()
    return voice


def _append(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In ASCII: half an emoji, which a model may say and UTF-8 cannot hold, comes back as it was.
        append_whole(path, "".join(f"{json.dumps(line)}\n" for line in lines).encode("ascii"))
    except OSError as error:
        raise StorageError(f"Cannot keep what was said in {path}: {error.strerror}. Free some space.") from error


def _cut(path: Path, size: int) -> None:
    try:
        os.truncate(path, size)
    except OSError as error:
        raise StorageError(f"Cannot cut {path}: {error.strerror}. Delete it; it is drawn again.") from error
