"""The order of a run: whole epochs, the replay share, length groups, repeatable."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.chat_template import Example
from persona_training.config import Steps
from persona_training.errors import RecipeError
from persona_training.schedule import plan, replay_count


def examples(count: int, first: int = 0) -> list[Example]:
    return [Example((i,) * (1 + i % 17), (i,) * (1 + i % 17)) for i in range(first, first + count)]


@given(
    own=st.integers(1, 60),
    replayed=st.integers(1, 40),
    share=st.floats(0, 0.8),
    epochs=st.integers(1, 3),
    batch=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_every_epoch_holds_every_own_row_once_and_its_share_of_replay(
    own: int, replayed: int, share: float, epochs: int, batch: int, seed: int
) -> None:
    steps = Steps(batch_size=batch, learning_rate=1.0, epochs=epochs)
    schedule = plan(examples(own), examples(replayed, 1000), share, steps, seed)
    assert schedule.epoch_rows == own + replay_count(own, share)
    assert len(schedule.examples) == schedule.steps * batch
    assert schedule.steps * batch >= epochs * schedule.epoch_rows > (schedule.steps - 1) * batch
    assert schedule == plan(examples(own), examples(replayed, 1000), share, steps, seed)


@given(own=st.integers(1, 50), share=st.floats(0, 0.9))
def test_the_replay_share_is_reached_and_not_overshot_by_a_row(own: int, share: float) -> None:
    drawn = replay_count(own, share)
    assert drawn / (own + drawn) >= share - 1e-9
    assert drawn == 0 or (drawn - 1) / (own + drawn - 1) < share + 1e-9


def test_replayed_rows_are_drawn_evenly() -> None:
    steps = Steps(batch_size=1, learning_rate=1.0, epochs=8)
    schedule = plan(examples(16), examples(16, 1000), 0.5, steps, 1)
    drawn = Counter(example.input_ids[0] for example in schedule.examples if example.input_ids[0] >= 1000)
    assert len(drawn) == 16
    assert max(drawn.values()) - min(drawn.values()) <= 1


def test_a_small_dataset_does_not_fill_a_batch_with_copies() -> None:
    schedule = plan(examples(24), [], 0.0, Steps(batch_size=24, learning_rate=1.0, epochs=3), 1)
    for start in range(0, 72, 24):
        assert len(set(schedule.examples[start : start + 24])) == 24


def test_batches_share_lengths_and_another_seed_is_another_order() -> None:
    steps = Steps(batch_size=8, learning_rate=1.0, epochs=2)
    mixed = plan(examples(256), [], 0.0, steps, 1)

    def padding(order: tuple[Example, ...]) -> int:
        batches = [order[start : start + 8] for start in range(0, len(order), 8)]
        return sum(
            max(len(e.input_ids) for e in batch) * len(batch) - sum(len(e.input_ids) for e in batch)
            for batch in batches
        )

    unsorted = tuple(examples(256) * 2)
    assert padding(mixed.examples) < padding(unsorted) / 2
    assert mixed.examples != plan(examples(256), [], 0.0, steps, 2).examples


def test_max_steps_wins_over_epochs() -> None:
    steps = Steps(batch_size=4, gradient_accumulation=2, learning_rate=1.0, epochs=1, max_steps=7)
    schedule = plan(examples(3), [], 0.0, steps, 1)
    assert schedule.steps == 7
    assert len(schedule.examples) == 56


def test_epochs_that_no_memory_holds_are_refused_at_once() -> None:
    with pytest.raises(RecipeError, match=r"steps\.epochs 100000 over 2,000 rows"):
        plan(examples(2000), [], 0.0, Steps(batch_size=4, learning_rate=1.0, epochs=100_000), 1)


@given(own=st.integers(1, 60), share=st.floats(0, 0.5), general_share=st.floats(0, 0.4), seed=st.integers(0, 5))
def test_general_rows_have_their_share_beside_the_replayed_ones(
    own: int, share: float, general_share: float, seed: int
) -> None:
    drawn = (replay_count(own, share, general_share), replay_count(own, general_share, share))
    # Eight epochs of batches of one end where a group of batches ends: nothing of a ninth is among them.
    steps = Steps(batch_size=1, learning_rate=1.0, max_steps=8 * (own + sum(drawn)))
    schedule = plan(
        examples(own), examples(5, 1000), share, steps, seed, general=examples(5, 2000), general_share=general_share
    )
    count = Counter(example.input_ids[0] // 1000 for example in schedule.examples)
    assert [count[0], count[1], count[2]] == [8 * own, 8 * drawn[0], 8 * drawn[1]]
    assert drawn[0] / schedule.epoch_rows == pytest.approx(share, abs=2 / schedule.epoch_rows)
    assert drawn[1] / schedule.epoch_rows == pytest.approx(general_share, abs=2 / schedule.epoch_rows)
