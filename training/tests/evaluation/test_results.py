"""results.jsonl holds everything that was said, and says where it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.errors import StorageError
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.replies import SERVED
from persona_training.evaluation.results import (
    MOST_LOOKS,
    Line,
    ResultsError,
    lines_of,
    read_results,
    setting_line,
    write_lines,
)
from persona_training.evaluation.transcript import Transcript

# Anything a model may say that UTF-8 and XML can hold.
SAID = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n"), max_size=30)


def setting(battery: Battery, probes: int = 2) -> Line:
    return setting_line(
        battery,
        battery.probes[:probes],
        battery.dialogues[:1],
        voices={"candidate": {"name": "she", "adapter_id": None, "weights_sha256": None}},
        floor="base",
        seed=7,
        backend="ollama",
        sampling=SERVED,
        system_prompt="Eres Casiopy.",
        system_prompt_origin="inside the tag",
        exports=[],
        looks=4,
    )


@given(
    replies=st.lists(st.lists(SAID, min_size=2, max_size=2), min_size=2, max_size=2),
    turns=st.lists(SAID, min_size=12, max_size=12),
    loss=st.floats(0, 100),
)
def test_what_was_said_comes_back(
    battery: Battery, tmp_path_factory: pytest.TempPathFactory, replies: list[list[str]], turns: list[str], loss: float
) -> None:
    probes, dialogues = battery.probes[:2], battery.dialogues[:1]
    said = Transcript("she", replies, [[turns]], [loss] * len(battery.corpora.persona), None, 1.5)
    path = tmp_path_factory.getbasetemp() / "results.jsonl"
    write_lines(path, [setting(battery), *lines_of("candidate", said, battery, probes, dialogues)])
    heard = read_results(path)
    assert [heard.replies["candidate", probe.id] for probe in probes] == replies
    assert heard.turns["candidate", dialogues[0].id] == [turns]
    assert set(heard.losses.values()) <= {loss}
    assert len(heard.losses) == len(set(battery.corpora.persona))
    assert (heard.voices, heard.seconds) == (("candidate",), {"candidate": 1.5})


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "is empty"),
        (["{"], "damaged in line 1"),
        (['{"probe": "p", "candidate": "x"}'], "files of before that"),
        (["SETTING", '{"kind": "reply", "voice": "candidate", "probe": "p", "sample": 1, "reply": "x"}'], "line 2"),
        (["SETTING", "", '{"kind": "turn", "voice": "candidate"}'], "line 3"),
        (["SETTING", "[]"], "line 2"),
        (["NOBODY"], "'stranger' is not one of"),
        (["SETTING", "[" * 100_000 + "]" * 100_000], "damaged in line 2 .RecursionError"),
        (["SETTING", '{"kind": "reply", "voice": "candidate", "probe": "p", "sample": 0, "reply": null}'], "no text"),
    ],
)
def test_damage_is_named_by_its_line(battery: Battery, tmp_path: Path, lines: list[str], words: str) -> None:
    first = setting(battery)
    of = {"SETTING": json.dumps(first), "NOBODY": json.dumps({**first, "voices": {"stranger": {}}})}
    path = tmp_path / "results.jsonl"
    path.write_text("\n".join(of.get(line, line) for line in lines), encoding="utf-8")
    with pytest.raises(ResultsError, match=words):
        read_results(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"looks": 0}, "looks: 0 is less"),
        ({"looks": -1}, "looks: -1 is less"),
        ({"looks": 1_000_000}, f"looks: 1000000 is greater than the maximum of {MOST_LOOKS}"),
        ({"looks": "vier"}, "looks: 'vier' is not of type"),
        ({"seed": -5}, "seed: -5 is less"),
        ({"probes": [{"id": "x"}]}, "probes, 0: 'prompt' is a required"),
        ({"voices": {"candidate": {}}}, "voices, candidate: 'name' is a required"),
        ({"voices": {"candidate": {"name": "\ud83d"}}}, "UnicodeEncodeError"),
        ({"voices": {"candidate": {"name": "a\0b"}}}, "voices, candidate, name"),
        ({"voices": {"candidate": {"name": "she"}, "stranger": {"name": "he"}}}, "'stranger' is not one of"),
        ({"voices": {"reference": {"name": "he"}}}, "voices: 'candidate' is a required"),
        ({"exports": [1]}, "exports, 0"),
        ({"serving": {"backend": "ollama", "system_prompt": "", "sampling": None}}, "sampling: None is not"),
        ({"serving": {"backend": "ollama", "system_prompt": "", "sampling": {"mood": 1}}}, "'mood' was unexpected"),
        ({"serving": {"backend": "ollama", "system_prompt": "", "sampling": {"top_p": None}}}, "top_p: None"),
        (
            {"serving": {"backend": "ollama", "system_prompt": "", "sampling": {"temperature": float("nan")}}},
            "not JSON",
        ),
    ],
)
def test_a_setting_that_cannot_be_says_where(
    battery: Battery, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps({**setting(battery), **changes}), encoding="utf-8")
    with pytest.raises(ResultsError, match=words):
        read_results(path)


def test_what_no_report_can_hold_is_replaced(battery: Battery, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    reply = {"kind": "reply", "voice": "candidate", "probe": "p", "sample": 0, "reply": "¡\ud83d\0\x1b!"}
    path.write_text(f"{json.dumps(setting(battery))}\n{json.dumps(reply)}", encoding="utf-8")
    assert read_results(path).replies["candidate", "p"] == ["¡\ufffd\ufffd\ufffd!"]


def test_unknown_kinds_are_passed_over(battery: Battery, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "results.jsonl", [setting(battery), {"kind": "mood", "of": "tomorrow"}])
    assert read_results(path).replies == {}


def test_files_that_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="Give the results"):
        read_results(tmp_path / "gone.jsonl")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="--output-dir"):
        write_lines(tmp_path / "file" / "results.jsonl", [])
