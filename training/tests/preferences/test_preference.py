"""Learning from pairs and votes: the losses by hand-made numbers, the encoding, and real steps of a real model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from persona_training.backends.backend import Job, Step
from persona_training.backends.hf import TransformersBackend
from persona_training.backends.padding import padded
from persona_training.backends.preference import (
    JudgedRows,
    PairRows,
    PreferenceLoss,
    balance,
    check_learnable,
    collator,
    dpo_loss,
    kto_loss,
    preference_lessons,
    reply_log_probabilities,
)
from persona_training.chat_template import IGNORED, Example
from persona_training.config import Recipe, Steps
from persona_training.errors import DatasetError, RecipeError
from persona_training.hardware import choose_hardware
from persona_training.messages import Message
from persona_training.models import load_base, load_tokenizer, merge_adapters
from persona_training.preferences import JudgedReply, JudgedRow, PairRow, PreferencePair, encode_preferences
from persona_training.processes import Process
from persona_training.schedule import Schedule, plan
from persona_training.testing import small_recipe

ASKED = ("hola", "¿qué tal?", "hace frío", "¿te gusta la lluvia?", "buenas noches", "he perdido las llaves")


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def said(text: str) -> Message:
    return {"role": "assistant", "content": text}


PAIRS = [
    PairRow((user(asked),), said("*suspiro* Pues vale."), said("Claro que sí, con gusto."), asked) for asked in ASKED
]
VOTES = [
    JudgedRow((user(asked),), said(reply), good, asked)
    for asked in ASKED
    for reply, good in (("*suspiro* Pues vale.", True), ("Claro que sí, con gusto.", False))
]


def recipe_for(base: Path, objective: str, **steps: object) -> Recipe:
    given = {"max_steps": 12, "eval_every": 0, "save_every": 50, "batch_size": 3, "learning_rate": 0.003, **steps}
    return replace(small_recipe(base, layer=3, steps=given), objective=objective, beta=0.1)


class Recorded:
    """A monitor that keeps the losses."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def stage(self, name: str) -> None:
        del name

    def step(self, step: Step) -> None:
        self.losses += [step.loss] if step.loss is not None else []

    def should_stop(self) -> bool:
        return False


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.01, 1))
def test_dpo_is_the_log_odds_of_the_preferred_reply(gain: float, other: float, beta: float) -> None:
    loss = float(dpo_loss(torch.tensor([gain]), torch.tensor([other]), beta))
    assert loss == pytest.approx(math.log1p(math.exp(-beta * (gain - other))), abs=1e-5)


def test_kto_weighs_gains_against_the_reference_point() -> None:
    gains, others = torch.tensor([2.0, -1.0]), torch.tensor([1.0, 0.0])
    loss = kto_loss(gains, others, torch.tensor([1.0, 3.0]), torch.tensor([True, False]), beta=0.5)
    sigmoid = [1 / (1 + math.exp(-0.5 * x)) for x in (2.0 - 0.5, 0.5 - -1.0)]
    assert float(loss) == pytest.approx((1 * (1 - sigmoid[0]) + 3 * (1 - sigmoid[1])) / 2, abs=1e-6)
    below = kto_loss(gains, -others, torch.ones(2), torch.tensor([True, False]), beta=0.5)
    at_zero = kto_loss(gains, torch.zeros(2), torch.ones(2), torch.tensor([True, False]), beta=0.5)
    assert float(below) == float(at_zero)


def test_only_the_reply_counts_and_padding_does_not() -> None:
    long = Example((1, 2, 3, 4), (IGNORED, IGNORED, 3, 4))
    short = Example((1, 2), (IGNORED, 2))
    logits = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))
    sums = reply_log_probabilities(logits, padded([long, short], 0)["labels"])
    every = torch.log_softmax(logits, -1)
    assert sums.tolist() == pytest.approx([float(every[0, 1, 3] + every[0, 2, 4]), float(every[1, 0, 2])], abs=1e-5)


@given(st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda votes: len(set(votes)) == 2))
def test_both_kinds_of_votes_count_as_much(votes: list[bool]) -> None:
    liked, disliked = balance([JudgedReply(Example((1,), (1,)), vote) for vote in votes])
    assert liked * sum(votes) == pytest.approx(disliked * (len(votes) - sum(votes)))
    assert min(liked, disliked) == 1


def test_each_conversation_is_also_answered_with_the_next_ones_reply() -> None:
    first, second = Example((1, 2, 3), (IGNORED, 2, 3)), Example((7, 8, 9), (IGNORED, IGNORED, 9))
    batch = JudgedRows(0, (1.0, 2.0))([JudgedReply(first, True), JudgedReply(second, False)])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 0], [7, 8, 9, 0], [1, 9, 0, 0], [7, 8, 2, 3]]
    assert batch["labels"].tolist()[2:] == [[IGNORED, 9, IGNORED, IGNORED], [IGNORED, IGNORED, 2, 3]]
    assert batch["weights"].tolist() == [1.0, 2.0]


def test_labels_cover_the_last_reply_alone(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(tiny_base)
    prompt = (user("hola"), said("Hola, mortal."), user("¿qué tal?"))
    row = PairRow(prompt, said("Regular."), said("Muy bien, gracias."), "s1")
    (pair,) = encode_preferences(tokenizer, [row], recipe_for(tiny_base, "dpo")).examples
    assert isinstance(pair, PreferencePair)
    learned = [tokenizer.decode([t for t in e.labels if t != IGNORED]) for e in (pair.chosen, pair.rejected)]
    assert [text.removesuffix(str(tokenizer.eos_token)) for text in learned] == ["Regular.", "Muy bien, gracias."]


def test_a_long_conversation_loses_its_oldest_exchanges(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(tiny_base)
    history = tuple(m for n in range(30) for m in (user(f"pregunta {n}"), said(f"respuesta {n}")))
    rows = [JudgedRow((*history, user("¿y ahora?")), said("Ahora no."), True, "s1"), *VOTES]
    recipe = replace(recipe_for(tiny_base, "kto"), max_length=64)
    encoded = encode_preferences(tokenizer, rows, recipe)
    assert (len(encoded.examples), encoded.shortened, encoded.left_out) == (len(rows), 1, 0)
    assert max(example.length for example in encoded.examples) <= 64
    hopeless = JudgedRow((user("palabra " * 200),), said("No."), True, "s2")
    assert encode_preferences(tokenizer, [hopeless], recipe).left_out == 1


def test_what_cannot_be_learned_from_is_refused(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(tiny_base)
    dpo, kto = recipe_for(tiny_base, "dpo"), recipe_for(tiny_base, "kto")
    with pytest.raises(DatasetError, match="--format dpo"):
        encode_preferences(tokenizer, VOTES, dpo)
    with pytest.raises(DatasetError, match="same reply twice"):
        encode_preferences(tokenizer, [PairRow((user("a"),), said("b"), said("b"), "s1")], dpo)
    liked = encode_preferences(tokenizer, [row for row in VOTES if row.desirable], kto).examples
    with pytest.raises(DatasetError, match="no disliked replies"):
        collator(kto, liked, 0)
    with pytest.raises(RecipeError, match="batch_size to 2"):
        collator(recipe_for(tiny_base, "kto", batch_size=1), liked, 0)
    with pytest.raises(DatasetError, match="cannot learn from JudgedReply"):
        collator(dpo, liked, 0)


def test_one_kind_of_vote_is_refused_before_the_run(tmp_path: Path) -> None:
    def vote(liked: bool) -> JudgedReply:
        return JudgedReply(Example((1, 2), (IGNORED, 2)), liked)

    recipe = replace(recipe_for(tmp_path, "kto"), steps=Steps(batch_size=2, learning_rate=0.1, max_steps=1))
    one, other = vote(True), vote(False)
    check_learnable(recipe, [one, other], Schedule((one, other), 1, 2))
    with pytest.raises(DatasetError, match="no disliked replies"):
        check_learnable(recipe, [one, one], Schedule((one, one), 1, 2))
    with pytest.raises(DatasetError, match="The run's 1 steps meet replies of one kind only"):
        check_learnable(recipe, [one, other], Schedule((one, one), 1, 2))


def probability(base: Path, adapters: Sequence[Path], examples: Sequence[Example]) -> list[float]:
    model = merge_adapters(load_base(base, torch.float32), adapters).eval()
    batch = padded(examples, 0)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return [float(one) for one in reply_log_probabilities(logits, batch["labels"])]


class Counted(torch.nn.Module):
    """A model of one table that notes each pass: how many rows, whether anything is kept of it, and the adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(6, 6, generator=torch.Generator().manual_seed(2)))
        self.adapted = True
        self.passes: list[tuple[int, bool, bool]] = []

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        self.passes.append((len(input_ids), torch.is_grad_enabled(), self.adapted))
        scores = self.table[input_ids]
        return SimpleNamespace(logits=scores * 1.5 if self.adapted else scores)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        self.adapted = False
        yield
        self.adapted = True


@pytest.mark.parametrize(
    ("objective", "passes"),
    [
        ("dpo", [(4, False, False), (4, True, True)]),
        ("kto", [(2, False, False), (2, False, True), (2, False, False), (2, True, True)]),
    ],
)
def test_only_what_is_learned_is_kept_for_the_backward_pass(
    objective: str, passes: list[tuple[int, bool, bool]], tmp_path: Path
) -> None:
    first, second = Example((1, 2, 3), (IGNORED, 2, 3)), Example((3, 4, 5), (IGNORED, IGNORED, 5))
    recipe, model = recipe_for(tmp_path, objective), Counted()
    votes = JudgedRows(0, (1.0, 2.0))([JudgedReply(first, True), JudgedReply(second, False)])
    pairs = PairRows(0)([PreferencePair(first, second), PreferencePair(second, first)])
    batch = pairs if objective == "dpo" else votes
    loss = PreferenceLoss(recipe)(model, batch, 2)
    assert model.passes == passes
    logits = model.table[batch["input_ids"]]
    both = (reply_log_probabilities(scores, batch["labels"]) for scores in (logits * 1.5, logits))
    gains, others = torch.sub(*both).chunk(2)
    if objective == "dpo":
        wanted = dpo_loss(gains, others, 0.1)
    else:
        wanted = kto_loss(gains, others, votes["weights"], votes["desirable"], 0.1)
    assert loss.item() == pytest.approx(wanted.item(), abs=1e-6)
    loss.backward()
    assert model.table.grad is not None


def test_a_last_held_out_vote_is_not_weighed_against_itself(tmp_path: Path) -> None:
    votes = tuple(JudgedReply(Example((n, n + 1), (IGNORED, n + 1)), n % 2 == 0) for n in range(5))
    recipe = replace(recipe_for(tmp_path, "kto"), steps=Steps(batch_size=2, learning_rate=0.1, max_steps=1))
    schedule = Schedule(votes[:2], 1, 5)
    job = Job(tmp_path, (), recipe, schedule, votes, choose_hardware("cpu"), tmp_path, None)
    lessons, _ = preference_lessons(job, Process(0, 1), 0)
    held_out = lessons.held_out()
    assert held_out.weight == 5
    assert [len(batch["desirable"]) for batch in held_out.batches] == [2, 3]


@pytest.mark.training
@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_real_steps_make_the_preferred_reply_likelier_than_the_other(
    objective: str, tiny_base: Path, tmp_path: Path
) -> None:
    """The first loss is that of no preference at all: the untrained adapter is the reference."""
    tokenizer, recipe = load_tokenizer(tiny_base), recipe_for(tiny_base, objective)
    examples = encode_preferences(tokenizer, PAIRS if objective == "dpo" else VOTES, recipe).examples
    schedule = plan(examples, (), 0.0, recipe.steps, seed=1)
    job = Job(tiny_base, (), recipe, schedule, (), choose_hardware("cpu"), tmp_path, None)
    monitor = Recorded()
    TransformersBackend().train(job, monitor)
    no_preference = math.log(2) if objective == "dpo" else 0.5
    # kto weighs the rarer kind up, so a batch that holds one kind only lies beside it.
    assert monitor.losses[0] == pytest.approx(no_preference, abs=0.05 if objective == "dpo" else 0.1)
    assert sum(monitor.losses[-3:]) / 3 < 0.8 * no_preference
    pairs = encode_preferences(tokenizer, PAIRS, recipe_for(tiny_base, "dpo")).examples
    for pick, sign in (("chosen", 1), ("rejected", -1)):
        replies = [getattr(pair, pick) for pair in pairs]
        before, after = probability(tiny_base, [], replies), probability(tiny_base, [tmp_path], replies)
        assert sign * (sum(after) - sum(before)) > 0
