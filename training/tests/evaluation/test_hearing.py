"""Voices are heard in rounds; what was heard is kept, and hearing stops when the verdict is certain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from persona_training.display import Display
from persona_training.errors import StorageError
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.cast import Voice
from persona_training.evaluation.comparison import Verdict
from persona_training.evaluation.hearing import Hearing, HearingError, Plan
from persona_training.evaluation.judgement import Finding, Judgement
from persona_training.evaluation.kept_replies import open_kept
from persona_training.evaluation.metrics import METRICS
from persona_training.evaluation.report import Named
from persona_training.evaluation.results import VoiceName
from persona_training.evaluation.transcript import Transcript
from persona_training.settings import Settings
from rich.console import Console

from .speakers import Speaker, as_assistant


@pytest.fixture
def plan(battery: Battery) -> Plan:
    return Plan(
        battery, battery.probes[:40], battery.dialogues[:2], samples=3, dialogue_samples=1, seed=7, told="Eres ella."
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def voice(speaker: Speaker, *, lasting: bool = True) -> Voice:
    return Voice(
        Named(speaker.name), {"who": speaker.name}, lambda: speaker, no_losses="it is made up", lasting=lasting
    )


def hearing(plan: Plan, speakers: Mapping[VoiceName, Speaker], settings: Settings, *, lasting: bool = True) -> Hearing:
    voices = {name: voice(speaker, lasting=lasting) for name, speaker in speakers.items()}
    return Hearing(plan, voices, settings, Display(Console(file=StringIO(), width=200)))


def shown(of: Hearing) -> str:
    text = of._display.console.file
    assert isinstance(text, StringIO)
    return text.getvalue()


def test_every_voice_is_asked_the_same_with_the_same_seeds(plan: Plan, settings: Settings) -> None:
    she, base = Speaker("she"), Speaker("base", as_assistant)
    hearing(plan, {"candidate": she, "floor": base}, settings).hear(None)
    questions = [[(talk[-1], seed) for talk, seed in one.heard] for one in (she, base)]
    assert questions[0] == questions[1]
    assert len(she.heard) == plan.replies == 3 * 40 + 24


def test_a_transcript_has_every_probe_dialogue_and_turn(plan: Plan, settings: Settings) -> None:
    said = hearing(plan, {"candidate": Speaker()}, settings).hear(None)["candidate"]
    assert (len(said.replies), said.samples) == (40, 3)
    assert [[len(turns) for turns in held] for held in said.turns] == [[12], [12]]
    assert said.persona_loss is None


def test_it_stops_when_the_verdict_is_certain(plan: Plan, settings: Settings) -> None:
    looks: list[tuple[int, int]] = []

    def look(said: Mapping[str, Transcript], number: int) -> Judgement:
        looks.append((number, said["candidate"].samples))
        return Judgement("pass", [], [], (), [], [], final=number == 2, look=number, looks=3)

    said = hearing(plan, {"candidate": Speaker()}, settings).hear(look)
    assert looks == [(1, 1), (2, 2)]
    assert said["candidate"].samples == 2


def test_dialogues_are_held_again_while_they_leave_something_open(plan: Plan, settings: Settings) -> None:
    late = next(metric for metric in METRICS if metric.name == "style_late")

    def look(said: Mapping[str, Transcript], number: int) -> Judgement:
        verdict: Verdict = "inconclusive" if number < 3 else "pass"
        findings = [Finding(late, None, None, {}, (), verdict)]
        return Judgement("inconclusive", [], [], (), findings, [], final=False, look=number, looks=5)

    for most, held in ((4, 3), (2, 2)):
        longer = replace(plan, samples=5, dialogue_samples=most)
        said = hearing(longer, {"candidate": Speaker()}, settings).hear(look)["candidate"]
        assert (said.samples, [len(talks) for talks in said.turns]) == (5, [held, held])


def test_an_interrupted_hearing_goes_on_where_it_stopped(plan: Plan, settings: Settings) -> None:
    whole = hearing(plan, {"candidate": Speaker()}, replace(settings, data_dir=settings.data_dir / "other")).hear(None)
    for breath in (50, 60):
        tired = Speaker(breath=breath)
        with pytest.raises(HearingError, match=r"The server fell silent\. What was heard so far is kept: run the same"):
            hearing(plan, {"candidate": tired}, settings).hear(None)
        assert tired.heard
    rested = Speaker()
    resumed = hearing(plan, {"candidate": rested}, settings)
    assert resumed.hear(None)["candidate"].replies == whole["candidate"].replies
    assert resumed.transcripts()["candidate"].turns == whole["candidate"].turns
    assert 0 < len(rested.heard) < plan.replies - 80
    assert "kept from an earlier gate" in shown(resumed)


def test_what_was_said_is_not_drawn_again(plan: Plan, settings: Settings) -> None:
    hearing(plan, {"candidate": Speaker()}, settings).hear(None)
    silent = Speaker(breath=0)
    longer = replace(plan, samples=2)
    assert hearing(longer, {"candidate": silent}, settings).hear(None)["candidate"].samples == 2
    other = replace(plan, told="Eres otra.")
    with pytest.raises(HearingError):
        hearing(other, {"candidate": silent}, settings).hear(None)
    with pytest.raises(HearingError):
        hearing(replace(plan, redraw=True), {"candidate": silent}, settings).hear(None)


def test_a_probe_more_at_the_end_draws_only_the_last_portion_again(
    plan: Plan, settings: Settings, battery: Battery
) -> None:
    hearing(replace(plan, samples=1), {"floor": Speaker(), "candidate": Speaker("week 1")}, settings).hear(None)
    floor = Speaker()
    week_2 = replace(plan, samples=1, probes=battery.probes[:41])
    hearing(week_2, {"floor": floor, "candidate": Speaker("week 2")}, settings).hear(None)
    assert len(floor.heard) == 41 - 32


def test_voices_known_by_name_only_are_forgotten(plan: Plan, settings: Settings) -> None:
    of = hearing(plan, {"candidate": Speaker()}, settings, lasting=False)
    of.hear(None)
    (file,) = (settings.data_dir / "gate").iterdir()
    of.forget_what_may_change()
    assert not file.exists()


def test_losses_that_cannot_be_taken_are_named(plan: Plan, settings: Settings) -> None:
    of = hearing(plan, {"candidate": Speaker()}, settings)
    of.hear(None)
    assert "No perplexity of she (candidate): it is made up." in shown(of)


@pytest.mark.parametrize(
    "torn", ['{"portion": "x", "sai', "[]\n", '{"portion": "x"}\n', "\x00\n", '{"portion": "x", "said": 1}\n']
)
def test_a_torn_file_is_cut_where_it_is_torn(tmp_path: Path, torn: str) -> None:
    def numbers(values: Sequence[int]) -> list[int]:
        return open_kept(tmp_path, "she", {"who": "she"}, Speaker).once(f"portion {values[0]}", lambda: list(values))

    numbers([1, 2])
    (path,) = (tmp_path / "gate").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole + torn.encode())
    assert numbers([1, 9]) == [1, 2]
    assert path.read_bytes() == whole
    numbers([3])
    assert len([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]) == 3


def test_two_gates_that_begin_the_same_file_lose_nothing(tmp_path: Path) -> None:
    first = open_kept(tmp_path, "she", {"who": "she"}, Speaker)
    first.once("p", lambda: [1])
    written = first.path.read_bytes()
    first.path.write_bytes(written + written.replace(b'"p"', b'"q"'))
    again = open_kept(tmp_path, "she", {"who": "she"}, Speaker)
    assert (again.once("p", list), again.once("q", list)) == ([1], [1])


def test_what_is_drawn_afresh_takes_the_place_of_what_was_kept(tmp_path: Path) -> None:
    def numbers(values: list[int], *, afresh: bool) -> list[int]:
        return open_kept(tmp_path, "she", {"who": "she"}, Speaker, afresh=afresh).once("p", lambda: values)

    assert [numbers([1], afresh=False), numbers([2], afresh=True), numbers([3], afresh=False)] == [[1], [2], [2]]


def test_a_file_of_another_time_is_not_used(tmp_path: Path) -> None:
    voice = open_kept(tmp_path, "she", {"who": "she"}, Speaker)
    voice.path.parent.mkdir(parents=True)
    voice.path.write_text('{"schema": "older"}\n{"portion": "p", "said": [1]}\n', encoding="utf-8")
    assert open_kept(tmp_path, "she", {"who": "she"}, Speaker).once("p", lambda: [2]) == [2]


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "gate").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(StorageError, match="Free some space"):
        open_kept(tmp_path, "she", {"who": "she"}, Speaker).once("p", lambda: [1])
