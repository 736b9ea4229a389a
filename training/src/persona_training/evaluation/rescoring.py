"""Judge again what was heard long ago: with a newer battery, or with yardsticks that did not exist then. No model is needed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from persona_training.display import Display
from persona_training.errors import StorageError
from persona_training.evaluation.battery import Battery, Corpora, Dialogue, Probe, load_battery
from persona_training.evaluation.cast import her_replies
from persona_training.evaluation.embedding import find_embedding
from persona_training.evaluation.exam import Exam
from persona_training.evaluation.judgement import Judgement, judge
from persona_training.evaluation.outcome import RESULTS, save, show
from persona_training.evaluation.report import Named, Report, Setting, build_report
from persona_training.evaluation.results import Heard, ResultsError, VoiceName, read_results
from persona_training.evaluation.service import MemoryService
from persona_training.evaluation.system_prompt import datasets_of
from persona_training.evaluation.transcript import Transcript
from persona_training.generation import Sampling
from persona_training.settings import Settings

SHOWN = 12  # names in one line


@dataclass(frozen=True)
class Match:
    """What is both in the results and in the battery."""

    battery: Battery
    probes: tuple[Probe, ...]
    dialogues: tuple[Dialogue, ...]


def rescore(
    results: Path,
    battery: str | Path,
    settings: Settings,
    display: Display,
    *,
    save_report: bool = False,
    output_dir: Path | None = None,
) -> Report:
    """Judge a results file.

    Args:
        results: a results.jsonl.
        battery: name or path; probes, dialogues and texts are matched by their words.
        settings: where datasets and the memory service are.
        display: what is left out is shown there.
        save_report: write the report beside the results, or into `output_dir`, and register it.
        output_dir: see above.

    Raises:
        PersonaTrainingError: the results or the battery cannot be read, or have nothing in common.
    """
    heard = read_results(results)
    _check_apart(heard, results)
    match = _match(heard, load_battery(battery), display)
    samples = _samples(heard, match.probes)
    said: dict[str, Transcript] = {voice: _transcript(voice, heard, match, samples) for voice in heard.voices}
    judgement = _judged(heard, _exam(heard, match, settings, display), said, samples)
    named = {voice: _named(heard, voice) for voice in heard.voices}
    floor = str(heard.setting["floor"])
    report = build_report(_setting(heard, match, samples), said, judgement, named=named, floor=floor)
    show(judgement, len(match.probes), display)
    if save_report:
        folder = output_dir or results.parent
        save(folder, report, None, named["candidate"].adapter_id, MemoryService(settings), display)
        _keep_results(results, folder / RESULTS)
    return report


def _check_apart(heard: Heard, results: Path) -> None:
    voices = heard.setting["voices"]
    own = voices["candidate"].get("weights_sha256")
    if own is not None and own == voices.get("reference", {}).get("weights_sha256"):
        raise ResultsError(
            f"The reference in {results} has the candidate's own weights, so a comparison would prove nothing. Run the gate "
            "again with another --baseline."
        )


def _judged(heard: Heard, exam: Exam, said: Mapping[str, Transcript], samples: int) -> Judgement:
    """By the look that the same number of samples was then."""
    looks = int(heard.setting["looks"])
    return judge(
        exam,
        said,
        seed=int(heard.setting["seed"]),
        system_prompt=str(heard.setting.get("system_prompt", "")),
        look=min(samples, looks),
        looks=looks,
    )


def _match(heard: Heard, battery: Battery, display: Display) -> Match:
    """The probes and dialogues whose id and words are the same in both; everything else is named."""
    of = heard.setting["battery"]
    display.fact(
        "results", f"drawn with the battery {of['name']} {of['version']}, judged with {battery.name} {battery.version}"
    )
    asked = {(str(one["id"]), str(one["prompt"])) for one in heard.setting["probes"]}
    held = {(str(one["id"]), tuple(map(str, one["turns"]))) for one in heard.setting["dialogues"]}
    probes = tuple(probe for probe in battery.probes if (probe.id, probe.prompt) in asked)
    dialogues = tuple(one for one in battery.dialogues if (one.id, one.turns) in held)
    _tell(display, "left out", "no longer in the battery", {one for one, _ in asked} - {probe.id for probe in probes})
    _tell(
        display, "left out", "dialogues no longer in the battery", {one for one, _ in held} - {d.id for d in dialogues}
    )
    _tell(
        display, "unasked", "probes that were not asked then", {p.id for p in battery.probes} - {p.id for p in probes}
    )
    _tell(display, "unasked", "dialogues not held then", {d.id for d in battery.dialogues} - {d.id for d in dialogues})
    if not probes:
        raise ResultsError(
            f"No probe of {battery.name} {battery.version} was asked in these results. Give the battery they belong to."
        )
    known = {(prompt, text) for _, _, prompt, text in heard.losses}
    corpora = Corpora(
        tuple(pair for pair in battery.corpora.persona if pair in known),
        tuple(text for text in battery.corpora.general if ("", text) in known),
    )
    return Match(replace(battery, corpora=corpora), probes, dialogues)


def _tell(display: Display, label: str, what: str, names: set[str]) -> None:
    if names:
        shown = sorted(names)
        more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
        display.fact(label, f"{len(shown)} {what}: {', '.join(shown[:SHOWN])}{more}")


def _samples(heard: Heard, probes: Sequence[Probe]) -> int:
    """How many samples every voice gave to every probe.

    Raises:
        ResultsError: some voice never answered one of them.
    """
    counts = {
        (voice, probe.id): len(heard.replies.get((voice, probe.id), ())) for voice in heard.voices for probe in probes
    }
    least = min(counts.values())
    if least == 0:
        voice, probe = next(place for place, count in counts.items() if count == 0)
        raise ResultsError(f"The results hold no reply of the {voice} to {probe}: they are incomplete.")
    return least


def _transcript(voice: VoiceName, heard: Heard, match: Match, samples: int) -> Transcript:
    held = [heard.turns.get((voice, one.id), []) for one in match.dialogues]
    whole = [
        [turns for turns in talks if len(turns) == len(one.turns)]
        for talks, one in zip(held, match.dialogues, strict=True)
    ]
    times = min(map(len, whole), default=0)
    corpora = match.battery.corpora
    persona = [heard.losses.get((voice, "persona", prompt, text)) for prompt, text in corpora.persona]
    general = [heard.losses.get((voice, "general", "", text)) for text in corpora.general]
    return Transcript(
        name=_named(heard, voice).name,
        replies=[heard.replies[voice, probe.id][:samples] for probe in match.probes],
        turns=[talks[:times] for talks in whole] if times else (),
        persona_loss=_all_or_none(persona),
        general_loss=_all_or_none(general),
        seconds=heard.seconds.get(voice, 0.0),
    )


def _all_or_none(losses: Sequence[float | None]) -> list[float] | None:
    known = [loss for loss in losses if loss is not None]
    return known if known and len(known) == len(losses) else None


def _named(heard: Heard, voice: VoiceName) -> Named:
    who = heard.setting["voices"][voice]
    return Named(str(who["name"]), who.get("adapter_id"), who.get("weights_sha256"))


def _exam(heard: Heard, match: Match, settings: Settings, display: Display) -> Exam:
    found, missing = datasets_of(
        [{"adapter_id": "the candidate", "dataset": {"export_id": name}} for name in heard.setting.get("exports", ())],
        settings.exports_dir,
    )
    for note in missing:
        display.fact("note", note)
    embed = find_embedding(lambda why: display.fact("note", why))
    return Exam(match.battery, match.probes, match.dialogues, her_replies(found), embed)


def _setting(heard: Heard, match: Match, samples: int) -> Setting:
    serving = heard.setting["serving"]
    return Setting(
        match.battery,
        match.probes,
        samples,
        int(heard.setting["seed"]),
        str(serving["backend"]),
        Sampling(**serving["sampling"]),
        str(serving["system_prompt"]),
        match.dialogues,
    )


def _keep_results(results: Path, target: Path) -> None:
    """The results go along whole, with what this battery does not ask: the next one may."""
    if target.exists() and target.samefile(results):
        return
    try:
        shutil.copyfile(results, target)
    except OSError as error:
        raise StorageError(f"Cannot write {target}: {error.strerror}. Choose another --output-dir.") from error
