"""`results.jsonl`: everything the voices said, so that a newer battery or another yardstick can judge it again without a model.

One JSON object a line, told apart by `kind`:

    setting   first line: battery, probes and dialogues asked, seed, serving path, who the voices are
    reply     voice, probe, sample, reply
    turn      voice, dialogue, sample, turn, reply
    loss      voice, corpus (persona or general), prompt, text, loss in nats per token
    voice     voice, seconds, and where its losses were taken

Readers pass over kinds and keys they do not know. The first line names texts by what was asked, never by position only: a
probe counts as the same one when its id and its words are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from persona_training.adapters import write_text
from persona_training.errors import PersonaTrainingError, StorageError
from persona_training.evaluation.battery import Battery, Dialogue, Probe
from persona_training.evaluation.replies import storable
from persona_training.evaluation.transcript import Transcript
from persona_training.generation import Sampling

VoiceName = Literal["candidate", "reference", "golden", "floor"]
VOICES: tuple[VoiceName, ...] = ("candidate", "reference", "golden", "floor")
SCHEMA = "casiopy/results-v1"
# Each look has its share of the 5 %, and the bootstrap has to see as far into the tail: one of 64 looks at 300 probes took
# 16 CPU seconds and 3 GB, one of 4 looks 1.6 seconds and 0.4 GB. In results.schema.json too.
MOST_LOOKS = 64
SHOWN = 200  # characters of what is wrong
Line = dict[str, Any]


class ResultsError(PersonaTrainingError):
    """A results file is missing, damaged or of another kind."""


@dataclass(frozen=True)
class Heard:
    """An examination on file, by text instead of by position.

    Attributes:
        setting: the first line.
        replies: (voice, probe id) to the replies, one per sample.
        turns: (voice, dialogue id) to samples x turns.
        losses: (voice, corpus, prompt, text) to nats per token.
        seconds: per voice.
    """

    setting: Line
    replies: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    turns: dict[tuple[str, str], list[list[str]]] = field(default_factory=dict)
    losses: dict[tuple[str, str, str, str], float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def voices(self) -> tuple[VoiceName, ...]:
        """Who was heard."""
        return tuple(voice for voice in VOICES if voice in self.setting["voices"])


def setting_line(
    battery: Battery,
    probes: Sequence[Probe],
    dialogues: Sequence[Dialogue],
    *,
    voices: Mapping[VoiceName, Mapping[str, str | None]],
    floor: str,
    seed: int,
    backend: str,
    sampling: Sampling,
    system_prompt: str,
    system_prompt_origin: str,
    exports: Sequence[str],
    looks: int,
) -> Line:
    """The first line. `exports` are the datasets whose replies memorisation was measured against; the rows stay there.

    `looks` is how many looks the verdict was prepared for (see `judgement`): judging again must not forget that.
    """
    return {
        "kind": "setting",
        "schema": SCHEMA,
        "battery": {"name": battery.name, "version": battery.version, "sha256": battery.sha256},
        "probes": [{"id": probe.id, "facet": probe.facet, "prompt": probe.prompt} for probe in probes],
        "dialogues": [{"id": dialogue.id, "turns": list(dialogue.turns)} for dialogue in dialogues],
        "voices": {name: dict(who) for name, who in voices.items()},
        "floor": floor,
        "seed": seed,
        "serving": {"backend": backend, "sampling": asdict(sampling), "system_prompt": system_prompt_origin},
        "system_prompt": system_prompt,
        "exports": list(exports),
        "looks": looks,
    }


def reply_line(voice: str, probe: Probe, sample: int, reply: str) -> Line:
    """One reply to one probe."""
    return {"kind": "reply", "voice": voice, "probe": probe.id, "sample": sample, "reply": reply}


def turn_line(voice: str, dialogue: Dialogue, sample: int, turn: int, reply: str) -> Line:
    """One answer within a dialogue; `turn` counts from 0."""
    where = {"voice": voice, "dialogue": dialogue.id, "sample": sample, "turn": turn}
    return {"kind": "turn", **where, "reply": reply}


def loss_line(voice: str, corpus: Literal["persona", "general"], prompt: str, text: str, loss: float) -> Line:
    """How unlikely one text was, nats per token; `prompt` is empty for a general text."""
    return {"kind": "loss", "voice": voice, "corpus": corpus, "prompt": prompt, "text": text, "loss": loss}


def lines_of(
    voice: VoiceName, said: Transcript, battery: Battery, probes: Sequence[Probe], dialogues: Sequence[Dialogue]
) -> Iterator[Line]:
    """Everything one voice said."""
    for probe, samples in zip(probes, said.replies, strict=True):
        yield from (reply_line(voice, probe, sample, reply) for sample, reply in enumerate(samples))
    for dialogue, held in zip(dialogues, said.turns, strict=False):
        for sample, turns in enumerate(held):
            yield from (turn_line(voice, dialogue, sample, turn, reply) for turn, reply in enumerate(turns))
    if said.persona_loss is not None:
        for (prompt, reply), loss in zip(battery.corpora.persona, said.persona_loss, strict=True):
            yield loss_line(voice, "persona", prompt, reply, loss)
    if said.general_loss is not None:
        for text, loss in zip(battery.corpora.general, said.general_loss, strict=True):
            yield loss_line(voice, "general", "", text, loss)
    yield {"kind": "voice", "voice": voice, "name": said.name, "seconds": round(said.seconds, 3)}


def write_lines(path: Path, lines: Iterable[Line]) -> Path:
    """Replace a file of JSON lines, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}. Choose another --output-dir.") from error
    write_text(path, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))
    return path


def read_results(path: Path) -> Heard:
    """Read a results file.

    Raises:
        ResultsError: missing, not JSON lines, or without a setting; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"Cannot read {path}: {error}. Give the results.jsonl of an earlier gate.") from error
    heard: Heard | None = None
    for number, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        try:
            line = json.loads(raw)
            if heard is None:
                heard = Heard(_setting(line))
            else:
                _take(heard, line)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise ResultsError(
                f"{path} is damaged in line {number} ({type(error).__name__}: {error}). It cannot be judged again."
            ) from error
    if heard is None:
        raise ResultsError(f"{path} is empty, so there is nothing to judge again.")
    return heard


def _setting(line: Line) -> Line:
    if line.get("schema") != SCHEMA:
        raise ValueError(
            f"the first line is no setting of {SCHEMA}; files of before that held no dialogues and cannot be used"
        )
    wrong = best_match(_validator().iter_errors(line))
    if wrong is not None:
        said = wrong.message if len(wrong.message) <= SHOWN else f"{wrong.message[:SHOWN]}…"
        raise ValueError(f"{', '.join(map(str, wrong.absolute_path)) or 'the first line'}: {said}")
    # Half an emoji, an infinity and a NaN could be written into no report.
    json.dumps(line, ensure_ascii=False, allow_nan=False).encode("utf-8")
    return line


@cache
def _validator() -> Draft202012Validator:
    schema = (resources.files("persona_training.evaluation") / "results.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(schema))


def _take(heard: Heard, line: Line) -> None:
    kind = line["kind"]
    if kind == "reply":
        samples = heard.replies.setdefault((line["voice"], line["probe"]), [])
        _next(samples, line["sample"]).append(_said(line))
    elif kind == "turn":
        held = heard.turns.setdefault((line["voice"], line["dialogue"]), [])
        if line["sample"] == len(held):
            held.append([])
        _next(held[line["sample"]], line["turn"]).append(_said(line))
    elif kind == "loss":
        heard.losses[line["voice"], line["corpus"], line["prompt"], line["text"]] = float(line["loss"])
    elif kind == "voice":
        heard.seconds[line["voice"]] = float(line["seconds"])


def _said(line: Line) -> str:
    if not isinstance(line["reply"], str):
        raise TypeError("its reply is no text")
    return storable(line["reply"])


def _next(said: list[str], place: int) -> list[str]:
    if place != len(said):
        raise ValueError(f"number {place} follows number {len(said) - 1}")
    return said
