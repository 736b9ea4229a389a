"""The stages one after the other, with stages that do what a table says: every way to stop, and going on from there."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from persona_training.errors import PersonaTrainingError
from persona_training.weekly.endings import (
    DEPLOYED,
    ENDINGS,
    GATE_FAILED,
    INTERRUPTED,
    NOTHING_TO_LEARN,
    OLLAMA_AWAY,
    Ending,
    code_table,
)
from persona_training.weekly.journal import STAGES, StageName
from persona_training.weekly.machine import Stopped, plans, sigterm_interrupts
from persona_training.weekly.order import Order
from persona_training.weekly.report import next_step

from .fakes import FAILED, WEEK, Killed, carry_on, fakes, journal_in

WAYS: dict[str, tuple[Any, str]] = {
    "killed": (Killed(), "running"),
    "interrupted": (KeyboardInterrupt(), "interrupted"),
    "failed": (PersonaTrainingError("The disk is full."), "failed"),
    "failed by the disk": (OSError(28, "No space left on device", "/x/model.gguf"), "failed"),
    "stopped": (Stopped(OLLAMA_AWAY, "Nobody answers."), "stopped"),
    "asked to stop": (Stopped(INTERRUPTED, "Stopped after step 3."), "interrupted"),
}


def ending_of(way: str, stage: StageName) -> Ending:
    """How the week ends when the stage goes this way."""
    return FAILED[stage] if way.startswith("failed") else OLLAMA_AWAY if way == "stopped" else INTERRUPTED


def test_a_week_without_trouble(tmp_path: Path) -> None:
    stages = fakes()
    outcome, _ = carry_on(stages, tmp_path)
    assert outcome.ending is DEPLOYED
    for position, name in enumerate(STAGES):
        ((done, _),) = stages[name].runs
        assert list(done) == list(STAGES[:position])
    journal = json.loads((tmp_path / "weeks" / "2026-W47" / "journal.json").read_text(encoding="utf-8"))
    assert [journal["stages"][name]["status"] for name in STAGES] == ["done"] * 4
    assert journal["stages"]["train"]["result"] == {"made": "train-1", "verdict": "pass"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stage", STAGES)
def test_the_next_run_goes_on_where_the_last_one_stopped(stage: StageName, way: str, tmp_path: Path) -> None:
    exception, status = WAYS[way]
    stages = fakes(**{stage: [exception]})
    if isinstance(exception, Killed):
        with pytest.raises(Killed):
            carry_on(stages, tmp_path)
    else:
        outcome, _ = carry_on(stages, tmp_path)
        assert (outcome.ending, outcome.stage) == (ending_of(way, stage), stage)
    record = journal_in(tmp_path).stages[stage]
    assert (record.status, record.result) == (status, None)
    stopped_at = STAGES.index(stage)
    assert [len(stages[name].runs) for name in STAGES] == [1] * (stopped_at + 1) + [0] * (3 - stopped_at)

    outcome, _ = carry_on(stages, tmp_path)
    assert outcome.ending is DEPLOYED
    assert [len(stages[name].runs) for name in STAGES] == [2 if name == stage else 1 for name in STAGES]
    (_, first_since), (_, second_since) = stages[stage].runs
    assert first_since == second_since, "what the first attempt made must not look older than the stage"
    record = journal_in(tmp_path).stages[stage]
    assert (record.status, record.attempts) == ("done", 2)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_between_two_stages(stage: StageName, tmp_path: Path) -> None:
    """The journal says that the stage is done; the next one never wrote a line."""
    stages = fakes()
    for name in STAGES[: STAGES.index(stage) + 1]:
        journal = journal_in(tmp_path)
        journal.begin(name, {})
        journal.end(name, "done", 1.0, result={"made": f"{name}-before", "verdict": "pass"})
    outcome, said = carry_on(stages, tmp_path)
    assert outcome.ending is DEPLOYED
    assert [name for name in STAGES if not stages[name].runs] == list(STAGES[: STAGES.index(stage) + 1])
    assert said.count("done already") == STAGES.index(stage) + 1


def test_a_verdict_is_not_repeated_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The journal's own clock has milliseconds, and a quick machine is through before the next one.
    seconds = iter(range(60))
    monkeypatch.setattr("persona_training.weekly.journal.now", lambda: f"2026-11-23T04:30:{next(seconds):02}.000Z")
    stages = fakes(gate=["fail", "pass"])
    for _ in range(2):
        outcome, _ = carry_on(stages, tmp_path)
        assert (outcome.ending, outcome.stage) == (GATE_FAILED, "gate")
    assert len(stages["gate"].runs) == 1
    assert not stages["deploy"].runs
    journal = journal_in(tmp_path)
    before = journal.stages["gate"].since
    journal.forget("gate")
    outcome, _ = carry_on(stages, tmp_path)
    assert outcome.ending is DEPLOYED
    assert (len(stages["train"].runs), len(stages["gate"].runs)) == (1, 2)
    assert journal_in(tmp_path).stages["gate"].since != before


def test_nothing_to_learn_is_asked_again_the_next_time(tmp_path: Path) -> None:
    stages = fakes(export=[Stopped(NOTHING_TO_LEARN, "Of 3 exchanges none was left.")])
    outcome, _ = carry_on(stages, tmp_path)
    assert (outcome.ending.code, outcome.message) == (11, "Of 3 exchanges none was left.")
    assert carry_on(stages, tmp_path)[0].ending is DEPLOYED


def test_what_is_gone_is_made_again_but_only_if_somebody_needs_it(tmp_path: Path) -> None:
    stages = fakes(gate=[KeyboardInterrupt()])
    carry_on(stages, tmp_path)
    stages["export"].lost, stages["train"].lost = "the dataset was deleted", "its weights are gone"
    outcome, said = carry_on(stages, tmp_path)
    assert outcome.ending is DEPLOYED
    assert "its weights are gone" in said
    assert [len(stages[name].runs) for name in STAGES] == [2, 2, 2, 1]
    assert carry_on(stages, tmp_path)[0].ending is DEPLOYED
    assert [len(stages[name].runs) for name in STAGES] == [2, 2, 2, 1]


def test_a_lost_dataset_does_not_matter_once_it_is_learned(tmp_path: Path) -> None:
    stages = fakes(gate=[KeyboardInterrupt()])
    carry_on(stages, tmp_path)
    stages["export"].lost = "the dataset was deleted"
    assert carry_on(stages, tmp_path)[0].ending is DEPLOYED
    assert len(stages["export"].runs) == 1


def test_other_options_for_what_is_done_are_said_aloud(tmp_path: Path) -> None:
    stages = fakes(deploy=[KeyboardInterrupt()])
    stages["train"].options = {"recipe": "a.yaml", "parent": None}
    carry_on(stages, tmp_path)
    stages["train"].options = {"recipe": "b.yaml", "parent": None}
    _, said = carry_on(stages, tmp_path)
    assert "it was done with another recipe; --again train does it anew" in said


def test_plans_touch_nothing(tmp_path: Path) -> None:
    stages = fakes(gate=["fail"])
    assert [plan for _, plan in plans(list(stages.values()), journal_in(tmp_path))] == [
        f"would {name} after nothing" for name in STAGES
    ]
    assert not list(tmp_path.iterdir())
    carry_on(stages, tmp_path)
    told = list(plans(list(stages.values()), journal_in(tmp_path)))
    assert [name for name, _ in told] == ["export", "train", "gate", "gate"]
    assert "--again gate" in told[-1][1]


def test_a_dry_run_of_a_stage_done_again_plans_it_and_all_after_it(tmp_path: Path) -> None:
    stages = fakes()
    carry_on(stages, tmp_path)
    before = journal_in(tmp_path).path.read_bytes()
    told = dict(plans(list(stages.values()), journal_in(tmp_path).without("gate")))
    assert told["train"].startswith("done already")
    assert (told["gate"], told["deploy"]) == ("would gate after export, train", "would deploy after export, train")
    assert journal_in(tmp_path).path.read_bytes() == before


def test_sigterm_is_what_ctrl_c_is() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_every_ending_but_the_good_ones_has_its_own_code() -> None:
    good = {"passed", "replaced"}  # beside "deployed": 0, too
    codes = [ending.code for ending in ENDINGS if ending.name not in good]
    assert len(set(codes)) == len(codes)
    assert {code for code, _ in code_table()} == {1, 2, *codes}
    for ending in ENDINGS:
        assert "{" not in next_step(ending, Order(WEEK))
