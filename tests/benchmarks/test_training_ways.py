"""The training benchmark's own arithmetic, and its ways at the size of a test: each takes real steps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import training_gpu
from training_ways import exactness, ours, plain
from training_ways.clock import Clock
from training_ways.work import Work, batches, build_model, conversations


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("model")
    build_model("tiny", folder, "cpu", "float32", layers=1)
    return Work("tiny", str(folder), "cpu", "float32", False, "full", 32, 2, warmup=1, steps=2)


def test_every_way_is_given_the_same_tokens(work: Work) -> None:
    for data in ("full", "short"):
        asked = replace(work, data=data, steps=20)
        examples = conversations(asked)
        assert examples == conversations(asked)
        dealt = batches(asked, examples)
        assert [one for batch in dealt for one in batch] == examples
        assert len(dealt) == asked.warmup + asked.steps
        assert max(one.length for one in examples) <= work.length
    assert {one.length for one in conversations(work)} == {32}


def test_the_clock_leaves_the_warm_up_out(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 20.0, 21.0, 23.0])
    monkeypatch.setattr("training_ways.clock.time.perf_counter", lambda: next(times))
    clock = Clock("cpu", warmup=2)
    for tokens in (100, 200, 260, 320):
        clock.step(tokens, 1.0)
    measured = clock.measured()
    assert (measured["tokens"], measured["seconds_per_step"], measured["tokens_per_second"]) == (120, 1.5, 40.0)


def test_the_ways_take_real_steps_over_the_same_tokens(work: Work, tmp_path: Path) -> None:
    ours_measured, floor = ours.train(work, tmp_path / "ours"), plain.train(work, tmp_path)
    assert ours_measured["tokens"] == floor["tokens"] == work.steps * work.tokens
    # Half of each conversation is learned, in both: the first losses are those of guessing among 2,048 tokens.
    assert abs(floor["first_loss"] - ours_measured["first_loss"]) < 0.2


def test_what_must_be_equal_is(work: Work, tmp_path: Path) -> None:
    assert 0 < ours.overhead(work, tmp_path / "overhead")["overhead"] < 1
    assert exactness.resume(replace(work, steps=3), tmp_path)["largest_difference"] == 0
    joined = exactness.join(work, tmp_path / "join")
    assert joined["largest_difference"] < 1e-4 < joined["difference_the_layers_make"]
    assert exactness.gguf(work, tmp_path / "gguf")["largest_difference"] < 1e-5


def test_ratios_hold_the_faster_of_ours_against_the_others() -> None:
    rows = {
        "ours, hf": {"tokens_per_second": 100.0, "peak_memory_gib": 10.0},
        "ours, unsloth": {"tokens_per_second": 150.0, "peak_memory_gib": 8.0},
        "plain loop": {"tokens_per_second": 60.0, "peak_memory_gib": 20.0},
        "Unsloth's recipe": {"left_out": "not installed: unsloth"},
    }
    found = training_gpu.ratios({"bfloat16, full rows": rows, "checks": {"overhead": {"overhead": 0.02}}})[
        "bfloat16, full rows"
    ]
    assert found == {
        "tokens_per_second": 150.0,
        "times_plain": 2.5,
        "times_unsloth": None,
        "memory_of_unsloth": None,
        "overhead": 0.02,
    }


def test_what_is_not_installed_is_named(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(training_gpu.NEEDS, "TRL", ("no_such_library",))
    assert training_gpu.measure("TRL", work) == {"left_out": "not installed: no_such_library"}
