"""Packing: nothing lost, nothing seen across conversations, and the same losses, gradients and weights as unpacked."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from persona_training.backends.backend import Job
from persona_training.backends.batches import Conversations
from persona_training.backends.hf import TransformersBackend
from persona_training.backends.loop import token_loss
from persona_training.backends.packing import first_fit, packed, require_kept_apart
from persona_training.backends.padding import padded
from persona_training.chat_template import IGNORED, Example
from persona_training.errors import RecipeError
from persona_training.hardware import choose_hardware
from persona_training.processes import Process
from persona_training.schedule import Schedule
from safetensors.torch import load_file

from .random_world import Recorded, conversation

lengths = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def of_length(length: int) -> Example:
    return Example(tuple(range(3, 3 + length)), (IGNORED,) * length)


@given(lengths, st.integers(8, 64))
def test_every_conversation_lies_in_one_row_and_rows_keep_to_the_capacity(sizes: list[int], capacity: int) -> None:
    rows = first_fit([of_length(size) for size in sizes], capacity)
    assert sorted(example.length for row in rows for example in row) == sorted(sizes)
    assert all(len(row) == 1 or sum(example.length for example in row) <= capacity for row in rows)
    # First fit leaves at most one row half empty.
    assert sum(sum(example.length for example in row) * 2 <= capacity for row in rows) <= 1


@given(lengths)
def test_positions_begin_again_and_no_first_token_is_a_label(sizes: list[int]) -> None:
    rows = first_fit([Example(of_length(size).input_ids, of_length(size).input_ids) for size in sizes], 64)
    batch = packed(rows, 0)
    assert {name: tuple(values.shape) for name, values in batch.items()} == dict.fromkeys(
        ("input_ids", "labels", "position_ids"), tuple(batch["input_ids"].shape)
    )
    for row, ids, labels, positions in zip(
        rows, *(batch[n] for n in ("input_ids", "labels", "position_ids")), strict=True
    ):
        start = 0
        for example in row:
            end = start + example.length
            assert ids[start:end].tolist() == list(example.input_ids)
            assert positions[start:end].tolist() == list(range(example.length))
            assert labels[start:end].tolist() == [IGNORED, *example.labels[1:]]
            start = end
        assert (labels[start:] == IGNORED).all()


@pytest.fixture
def model(job_with: Callable[..., Job]) -> torch.nn.Module:
    """The small Llama with an adapter that already says something."""
    job = job_with()
    model = TransformersBackend().load(job)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    return model


@pytest.mark.training
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_logits_and_gradients_equal_those_of_each_conversation_alone(
    model: torch.nn.Module, attention: str
) -> None:
    model.get_base_model().set_attn_implementation(attention)
    rng = random.Random(1)
    examples = [conversation(rng) for _ in range(9)]
    rows = first_fit(examples, 64)
    assert max(len(row) for row in rows) > 1
    batch = packed(rows, 0)
    weight = sum(example.learned for example in examples)
    token_loss(model, batch, weight).backward()
    gradients = _take_gradients(model)
    logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits
    for at, row in enumerate(rows):
        start = 0
        for example in row:
            alone = model(input_ids=torch.tensor([example.input_ids])).logits[0]
            assert torch.allclose(logits[at, start : start + example.length], alone, atol=1e-5)
            start += example.length
    for example in examples:
        token_loss(model, padded([example], 0), weight).backward()
    for name, gradient in _take_gradients(model).items():
        assert torch.allclose(gradient, gradients[name], atol=1e-5), name


@pytest.mark.training
def test_what_one_conversation_says_changes_no_other(model: torch.nn.Module) -> None:
    rng = random.Random(2)
    first, second, third = (conversation(rng) for _ in range(3))
    changed = Example(tuple(reversed(first.input_ids)), first.labels)
    logits = []
    for begin in (first, changed):
        batch = packed([(begin, second, third)], 0)
        logits.append(model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits[0, first.length :])
    assert torch.equal(logits[0], logits[1])
    require_kept_apart(model, [first, second])


def test_a_model_that_lets_conversations_see_each_other_is_refused(random_base: Path) -> None:
    from transformers import LlamaForCausalLM

    class Leaking(LlamaForCausalLM):
        """Passes a mask of its own, as models do that know nothing of packing."""

        def forward(self, input_ids: torch.Tensor, **given: object) -> object:
            return super().forward(input_ids=input_ids, attention_mask=torch.ones_like(input_ids), **given)

    rng = random.Random(3)
    with pytest.raises(RecipeError, match="Set packing: false"):
        require_kept_apart(Leaking.from_pretrained(random_base), [conversation(rng), conversation(rng)])


@pytest.mark.training
@pytest.mark.parametrize("changes", [{}, {"gradient_accumulation": 2}, {"gradient_checkpointing": True}])
def test_a_packed_run_learns_what_an_unpacked_one_learns(
    changes: dict[str, object], job_with: Callable[..., Job]
) -> None:
    learned, told = [], []
    for packing in (False, True):
        job = job_with(f"packing-{packing}", steps={"eval_every": 3, **changes}, packing=packing)
        monitor = Recorded()
        outcome = TransformersBackend().train(job, monitor)
        told.append((outcome, monitor))
        learned.append(load_file(job.out_dir / "adapter_model.safetensors"))
    assert told[0][0] == told[1][0]
    assert told[0][1].losses == pytest.approx(told[1][1].losses, abs=1e-5)
    assert told[0][1].held_out == pytest.approx(told[1][1].held_out, abs=1e-5)
    for name, weight in learned[0].items():
        assert torch.allclose(weight, learned[1][name], atol=1e-3), name


@pytest.mark.training
def test_losses_are_means_over_the_learned_tokens_of_a_whole_step(job_with: Callable[..., Job]) -> None:
    """However a step is laid out in forward passes: eight at once, four times two, or packed."""
    first = []
    for batch_size, accumulation, packing in ((8, 1, False), (2, 4, False), (2, 4, True)):
        steps = {"batch_size": batch_size, "gradient_accumulation": accumulation, "max_steps": 1}
        monitor = Recorded()
        job = job_with(f"{batch_size}-{packing}", steps=steps, packing=packing)
        TransformersBackend().train(job, monitor)
        first.append(monitor.losses[0])
    model = TransformersBackend().load(job)
    total = sum(float(token_loss(model, padded([e], 0), 1).detach()) for e in job.schedule.examples)
    mean = total / sum(example.learned for example in job.schedule.examples)
    assert first == pytest.approx([mean] * 3, abs=1e-5)


def test_packing_leaves_less_padding(job_with: Callable[..., Job]) -> None:
    rng = random.Random(4)
    mixed = Schedule(tuple(conversation(rng) for _ in range(48)), 2, 24)
    shares = []
    for packing in (False, True):
        job = job_with(steps={"batch_size": 4, "gradient_accumulation": 6}, packing=packing)
        found = Conversations(replace(job, schedule=mixed), Process(0, 1), 0)
        steps = [found.step(index) for index in range(found.steps)]
        computed = sum(batch["input_ids"].numel() for step in steps for batch in step.batches)
        shares.append(1 - sum(step.tokens for step in steps) / computed)
    assert shares[1] < 0.1 < 0.2 < shares[0]


def test_the_processes_of_a_run_share_out_each_step(job_with: Callable[..., Job]) -> None:
    job = job_with(steps={"batch_size": 2, "gradient_accumulation": 1, "max_steps": 12})
    alone = Conversations(job, Process(0, 1), 0, picks=False)
    shared = [Conversations(job, Process(rank, 3), 0, picks=False) for rank in range(3)]
    for step in range(alone.steps):
        whole, parts = alone.step(step), [one.step(step) for one in shared]
        assert {part.weight for part in parts} == {whole.weight}
        assert {part.tokens for part in parts} == {whole.tokens}
        learned = sum(int((batch["labels"] != IGNORED).sum()) for part in parts for batch in part.batches)
        assert learned == whole.weight
        assert all(part.batches for part in parts)


def _take_gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    found = {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.training
def test_in_bfloat16_packed_losses_differ_by_rounding_alone(job_with: Callable[..., Job]) -> None:
    """Eight bits of precision: a loss of about 4.6 nats is known to about 0.02."""
    losses = []
    for packing in (False, True):
        job = job_with(f"{packing}", packing=packing, steps={"gradient_checkpointing": True})
        monitor = Recorded()
        TransformersBackend().train(replace(job, hardware=choose_hardware("cpu", "bfloat16")), monitor)
        losses.append(monitor.losses)
    assert losses[0] == pytest.approx(losses[1], abs=0.02)
    assert losses[0][-1] < losses[0][0]
