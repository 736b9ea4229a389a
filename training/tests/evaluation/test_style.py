"""The style classifier on voices whose difference is known."""

from __future__ import annotations

import random

import numpy as np
import pytest
from persona_training.evaluation.battery import Probe
from persona_training.evaluation.style import FOLDS, MAX_TRAINING_REPLIES, Style

TOPICS = ["lluvia", "café", "gato", "teclado", "nave", "luna", "examen", "piña", "directo", "mapa", "música", "sueño"]
HERS = ("*suspiro* Otra vez {}, mortal.", "Ay, criatura, {} no me asusta. *bosteza*", "Obvio, mortal: {} y silencio.")
THEIRS = ("Claro, {} es un tema muy interesante.", "Puedo darte información sobre {}.", "Hay varios factores en {}.")


def probes(count: int = len(TOPICS)) -> list[Probe]:
    return [
        Probe(str(i), "style", topic, tuple(text.format(topic) for text in HERS[:2]))
        for i, topic in enumerate(TOPICS[:count])
    ]


def says(texts: tuple[str, ...], count: int = len(TOPICS)) -> list[list[str]]:
    return [[text.format(topic) for text in texts[1:]] for topic in TOPICS[:count]]


def style(count: int = len(TOPICS), *, with_floor: bool = True, training: tuple[str, ...] = ()) -> Style:
    neutral = [text.format("eso") for text in THEIRS]
    floor = says(THEIRS, count) if with_floor else None
    return Style(probes(count), floor=floor, neutral=neutral, training_replies=training)


@pytest.mark.parametrize("with_floor", [True, False])
def test_her_voice_lies_above_zero_and_anybodys_below(with_floor: bool) -> None:
    judge = style(with_floor=with_floor)
    hers, theirs = judge.held_out(says(HERS)), judge.held_out(says(THEIRS))
    assert hers.shape == theirs.shape == (len(TOPICS), 2)
    assert hers.min() > 0 > theirs.max()
    assert judge.of_any([HERS[0].format("nada")])[0] > 0 > judge.of_any([THEIRS[0].format("nada")])[0]


def test_a_mixture_lies_between() -> None:
    judge, dealer = style(), random.Random(3)
    mixed = [
        [dealer.choice(pair) for pair in zip(*rows, strict=True)] for rows in zip(says(HERS), says(THEIRS), strict=True)
    ]
    levels = [judge.held_out(replies).mean() for replies in (says(THEIRS), mixed, says(HERS))]
    assert levels == sorted(levels)
    assert levels[1] - levels[0] > 0.2 * (levels[2] - levels[0])
    assert levels[2] - levels[1] > 0.2 * (levels[2] - levels[0])


def test_a_probe_is_judged_by_a_classifier_that_has_not_seen_it() -> None:
    """What is written for a probe changes the scores of all probes but those of its own fold."""
    changed = [Probe("0", "style", "", ("Claro, puedo darte información.",) * 2), *probes()[1:]]
    before, after = (
        Style(asked, floor=says(THEIRS), neutral=(), training_replies=()).held_out(says(HERS))
        for asked in (probes(), changed)
    )
    differs = np.abs(before - after).max(axis=1) > 1e-6
    assert differs.tolist() == [i % FOLDS != 0 for i in range(len(TOPICS))]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_handful_of_probes_is_enough_to_be_scored(count: int) -> None:
    assert np.isfinite(style(count).held_out(says(HERS, count))).all()


def test_more_training_replies_than_it_takes() -> None:
    """They are thinned evenly, so the last ones are heard, too."""
    many = ("*suspiro* Otra vez, mortal.",) * (3 * MAX_TRAINING_REPLIES) + (
        "Qué zarzuela tan zafia.",
    ) * MAX_TRAINING_REPLIES
    text = ["Qué zarzuela tan zafia."]
    assert style(training=many).of_any(text)[0] > style().of_any(text)[0] + 1


def test_it_can_be_repeated() -> None:
    assert np.array_equal(style().held_out(says(HERS)), style().held_out(says(HERS)))
