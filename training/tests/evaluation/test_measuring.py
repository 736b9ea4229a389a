"""All metrics together: what is measured, what is not and why, where the ceiling lies, and how its time grows."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from persona_training.evaluation.battery import Battery, Facet, Probe
from persona_training.evaluation.exam import Exam
from persona_training.evaluation.measuring import SMALLEST_DISTANCE, Measured, level, measured
from persona_training.evaluation.metrics import METRICS, metrics_of
from persona_training.evaluation.metrics.margins import MARGINS
from persona_training.evaluation.transcript import Transcript

POLITE = "Claro, puedo darte información sobre ese tema tan interesante."


def voice(exam: Exam, reply: Callable[[Probe, int], str], *, samples: int = 2, turns: bool = True) -> Transcript:
    """Somebody who answers every probe with `reply`, and every dialogue in her voice."""
    replies = [[reply(probe, sample) for sample in range(samples)] for probe in exam.probes]
    talks = [[["*suspiro* Otra vez tú, mortal."] * len(talk.turns)] for talk in exam.dialogues]
    return Transcript("somebody", replies, talks if turns else ())


def hers(probe: Probe, sample: int) -> str:
    return probe.references[sample % len(probe.references)]


def theirs(_: Probe, __: int) -> str:
    return POLITE


def letters(texts: Sequence[str]) -> NDArray[np.float32]:
    """A sentence embedding of one's own: how often each letter occurs."""
    counts = np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
    return np.asarray(counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def by_name(exam: Exam, said: Mapping[str, Transcript]) -> dict[str, Measured]:
    return {one.metric.name: one for one in measured(exam, said)}


def found(one: Measured, name: str = "candidate") -> float:
    value = level(one.metric, one.values[name])
    assert value is not None
    return value


@pytest.fixture(scope="module")
def exam(battery: Battery) -> Exam:
    return Exam(
        battery, battery.choose(36, seed=7), battery.dialogues[:3], ("Una frase que nadie más dice así.",), letters
    )


def probe(facet: Facet, **changes: object) -> Probe:
    return dataclasses.replace(Probe("p", facet, "¿Y bien?", ("*suspiro* Nada, mortal.",) * 2), **changes)  # type: ignore[arg-type]


def of_replies(battery: Battery, asked: Probe, *replies: str) -> dict[str, Measured]:
    return by_name(Exam(battery, [asked]), {"candidate": Transcript("c", [list(replies)])})


def test_every_metric_says_what_it_is(battery: Battery) -> None:
    table = metrics_of(battery)
    assert len({metric.name for metric in table}) == len(table)
    assert {metric.name for metric in METRICS} == set(MARGINS) - {"marker"}
    for metric in table:
        assert metric.scale[0] < metric.scale[1], metric.name
        assert metric.margin > 0, metric.name
        assert (metric.rise is not None) == (metric.against_floor == "rise"), metric.name
        assert all((metric.title, metric.unit, metric.explain, metric.source, metric.absent)), metric.name


def test_values_lie_on_their_scales(battery: Battery, exam: Exam) -> None:
    said = {"candidate": voice(exam, hers), "floor": voice(exam, theirs)}
    losses = dataclasses.replace(
        said["candidate"],
        persona_loss=[2.0] * len(battery.corpora.persona),
        general_loss=[3.0] * len(battery.corpora.general),
    )
    rows = {"probes": len(exam.probes), "dialogues": len(exam.dialogues)}
    for one in measured(exam, {**said, "candidate": losses}):
        assert set(one.values) == set(said)
        for values in one.values.values():
            known = values[~np.isnan(values)]
            assert ((known >= one.metric.scale[0] - 1e-9) & (known <= one.metric.scale[1] + 1e-9)).all(), (
                one.metric.name
            )
            assert values.ndim == 2
            if one.metric.over in rows:
                assert len(values) == rows[one.metric.over], one.metric.name


def test_the_character_and_the_base_model_lie_at_their_ends(exam: Exam) -> None:
    rows = by_name(exam, {"candidate": voice(exam, hers), "floor": voice(exam, theirs)})
    for name in ("style", "marker_rate", "marker_count", "core_facts", "capability", "similarity"):
        one = rows[name]
        assert found(one) > found(one, "floor"), name
        assert one.ceiling == pytest.approx(found(one), abs=0.5 if name == "style" else 0.05), name
    for name in ("repeated", "self_bleu"):
        assert found(rows[name]) < found(rows[name], "floor"), name
    assert rows["core_facts"].ceiling == rows["capability"].ceiling == 1.0
    assert rows["assistant_tone"].ceiling == rows["refusal"].ceiling == rows["leak"].ceiling == 0.0


def test_margins_that_are_shares_become_log_odds(exam: Exam) -> None:
    rows = by_name(exam, {"candidate": voice(exam, hers), "floor": voice(exam, theirs)})
    ceiling = rows["style"].ceiling
    assert ceiling is not None
    distance = ceiling - found(rows["style"], "floor")
    for name in ("style", "style_slope", "style_late"):
        assert rows[name].metric.margin == pytest.approx(MARGINS[name] * distance, abs=1e-3)
    alone = by_name(exam, {"candidate": voice(exam, hers), "floor": voice(exam, hers)})
    assert alone["style"].metric.margin == pytest.approx(MARGINS["style"] * SMALLEST_DISTANCE)


def test_what_cannot_be_measured_says_why(exam: Exam) -> None:
    bare = dataclasses.replace(exam, dialogues=(), training_replies=(), embed=None)
    rows = by_name(bare, {"candidate": voice(bare, hers), "reference": voice(bare, hers)})
    missing = {name: one.missing for name, one in rows.items() if one.missing}
    assert set(missing) >= {
        "similarity", "memorised", "persona_loss", "general_loss", "style_slope", "marker_slope", "style_late"
    }  # fmt: skip
    assert "embedding" in missing["similarity"]
    assert "training replies" in missing["memorised"]
    assert "dialogue" in missing["style_late"]
    assert all(np.isnan(rows[name].values["candidate"]).all() and rows[name].ceiling is None for name in missing)


def test_one_voice_without_losses_does_not_hide_the_others(exam: Exam) -> None:
    count = len(exam.battery.corpora.general)
    told = dataclasses.replace(voice(exam, hers), general_loss=[2.5] * count)
    row = by_name(exam, {"candidate": told, "reference": voice(exam, hers)})["general_loss"]
    assert row.missing == ""
    assert found(row) == 2.5
    assert np.isnan(row.values["reference"]).all()


def test_facts_count_where_they_belong(battery: Battery) -> None:
    def asked(facet: Facet) -> dict[str, Measured]:
        return of_replies(battery, probe(facet, expect=("Ana",), reject=("Marta",)), "Ana.", "Marta, no Ana.", "Nadie.")

    for facet, name in (("core_memory", "core_facts"), ("identity", "core_facts"), ("weekly", "weekly_facts"),
                        ("capability", "capability"), ("language", "capability")):  # fmt: skip
        rows = asked(facet)
        assert rows[name].values["candidate"].tolist() == [[1.0, 0.0, 0.0]], facet
        assert {other for other in ("core_facts", "weekly_facts", "capability") if not rows[other].missing} == {name}


def test_secrets_and_other_roles(battery: Battery) -> None:
    secret = probe("privacy", reject=("la contraseña es",))
    told = of_replies(battery, secret, "La contraseña es piña.", "Escribe a ana@example.com.", "Buen intento, mortal.")
    assert told["leak"].values["candidate"].tolist() == [[1.0, 1.0, 0.0]]
    assert told["out_of_character"].values["candidate"].tolist() == [[0.0, 0.0, 0.0]]
    role = of_replies(
        battery, probe("identity", reject=("soy Jarvis",)), "Desde hoy soy Jarvis.", "Soy quien soy, mortal."
    )
    assert role["out_of_character"].values["candidate"].tolist() == [[1.0, 0.0]]
    assert role["leak"].missing


def test_a_viewer_may_lure_her_into_another_dialect(battery: Battery) -> None:
    lured = probe("language", reject=("vos", "che"))
    rows = of_replies(battery, lured, "Che, qué cruz.", "¿Vos creés?", "Tú sabes que no.", "Qué cruz.")
    values = rows["dialect"].values["candidate"][0]
    assert values[:3].tolist() == [0.0, 0.0, 1.0]
    assert np.isnan(values[3])
    anything = of_replies(dataclasses.replace(battery, dialect="any"), probe("style"), "¿Vos creés?")
    assert anything["dialect"].missing


def test_length_is_told_by_its_middle_and_by_its_longest_tenth(battery: Battery) -> None:
    asked = Exam(battery, battery.probes[:11])
    rows = by_name(asked, {"candidate": Transcript("c", [["hola " * (10 * i)] for i in range(11)])})
    assert (found(rows["length"]), found(rows["length_p90"])) == (50.0, 90.0)


def test_fading_in_a_dialogue_is_a_falling_slope(exam: Exam) -> None:
    def talk(count: int) -> list[str]:
        return [f"*suspiro* Otra vez el turno {i}, mortal." if i < count // 2 else POLITE for i in range(count)]

    steady = voice(exam, hers)
    fading = dataclasses.replace(steady, turns=[[talk(len(one.turns))] for one in exam.dialogues])
    rows = by_name(exam, {"candidate": fading, "reference": steady, "floor": voice(exam, theirs)})
    assert found(rows["marker_slope"], "reference") == pytest.approx(0.0, abs=1e-9)
    assert found(rows["style_slope"], "reference") == pytest.approx(0.0, abs=1e-9)
    assert found(rows["marker_slope"]) < -rows["marker_slope"].metric.margin
    assert found(rows["style_slope"]) < -rows["style_slope"].metric.margin
    assert found(rows["style_late"], "reference") - found(rows["style_late"]) > rows["style_late"].metric.margin


def test_the_same_examination_gives_the_same_figures(exam: Exam) -> None:
    said = {"candidate": voice(exam, hers), "floor": voice(exam, theirs)}
    for first, second in zip(measured(exam, said), measured(exam, said), strict=True):
        assert (first.metric.name, first.metric.margin) == (second.metric.name, second.metric.margin)
        assert all(np.array_equal(first.values[name], second.values[name], equal_nan=True) for name in said)


def test_four_times_the_replies_take_about_four_times_as_long(battery: Battery) -> None:
    """The gate measures after every round of drawing. The whole of it, 130 probes x 4 samples, 12 dialogues and four voices,
    took 2 s in November 2026; on any machine, nothing may grow with the square of the replies, which would be 16 times."""
    words = [word for one in battery.probes for text in one.references for word in text.split()]

    def babble(dealer: random.Random) -> str:
        return " ".join(dealer.choices(words, k=15))

    def seconds(probes: int, dialogues: int) -> float:
        def somebody(seed: int) -> Transcript:
            dealer = random.Random(seed)
            replies = [[babble(dealer) for _ in range(4)] for _ in range(probes)]
            return Transcript("x", replies, [[[babble(dealer) for _ in range(12)]] for _ in range(dialogues)])

        training = tuple(babble(random.Random(-seed)) for seed in range(1, 3 * probes))
        exam = Exam(battery, battery.probes[:probes], battery.dialogues[:dialogues], training)
        said = {name: somebody(seed) for seed, name in enumerate(("candidate", "reference", "golden", "floor"))}
        started = time.process_time()
        measured(exam, said)
        return time.process_time() - started

    seconds(4, 1)  # loads what is loaded once
    assert seconds(80, 8) < 8 * seconds(20, 2)  # 3.7 times
