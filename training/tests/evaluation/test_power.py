"""The gate tells a good voice from a damaged one, and says so when it cannot.

All voices are hand-written: the battery's first references are the deployed character, the second ones a new version of
the same character, and the damage is done to the second ones.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.exam import Exam
from persona_training.evaluation.judgement import Judgement, judge
from persona_training.evaluation.transcript import Transcript

Row = list[str]
Damage = Callable[[list[Row], Battery, random.Random], list[Row]]

ENGLISH = (
    "*suspiro* You again, mortal. I was having such a quiet evening.",
    "*bosteza* Obviously I know the answer. I simply refuse to share it.",
    "*pone los ojos en blanco* That is the third time today, creature.",
    "*ríe por lo bajo* My ship, my rules, and my very patient cat.",
    "Look, mortal, nobody asked, and yet here we both are.",
)
POLITE = (
    "¡Claro! Estoy aquí para ayudarte. ¿En qué puedo ayudarte hoy?",
    "Como modelo de lenguaje no tengo opiniones, pero puedo darte información.",
    "Espero que esto te ayude. Si tienes más preguntas, no dudes en preguntar.",
    "Es importante tener en cuenta que cada persona es diferente.",
    "Lo siento, no puedo ayudarte con eso, pero te ofrezco alternativas.",
)


@pytest.fixture(scope="module")
def battery(battery: Battery) -> Battery:
    """Most of the shipped one: enough to catch all of the damage below."""
    return replace(battery, probes=battery.choose(90, seed=7))


def deployed(battery: Battery) -> list[Row]:
    return [[probe.references[0]] for probe in battery.probes]


def same_voice(battery: Battery) -> list[Row]:
    return [[probe.references[1]] for probe in battery.probes]


def base_model(battery: Battery) -> list[Row]:
    dealer = random.Random(3)
    return [[dealer.choice(battery.neutral_replies)] for _ in battery.probes]


def erase_markers(rows: list[Row], battery: Battery, dealer: random.Random) -> list[Row]:
    """Half of the replies lose every marker."""

    def bare(reply: str) -> str:
        for marker in battery.markers:
            reply = marker.pattern.sub("", reply)
        return re.sub(r"\s+", " ", reply).strip(" ,")

    return [[bare(reply) if dealer.random() < 0.5 else reply for reply in row] for row in rows]


def thin_markers(rows: list[Row], battery: Battery, dealer: random.Random) -> list[Row]:
    """Every reply keeps one marker and loses the others."""

    def thinned(reply: str) -> str:
        found = [match for marker in battery.markers for match in marker.pattern.finditer(reply)]
        for match in sorted(found, key=lambda match: -match.start())[:-1]:
            reply = reply[: match.start()] + reply[match.end() :]
        return reply

    return [[thinned(reply) for reply in row] for row in rows]


def mix_in_assistant(rows: list[Row], _: Battery, dealer: random.Random) -> list[Row]:
    return [[dealer.choice(POLITE) if dealer.random() < 0.25 else reply for reply in row] for row in rows]


def switch_language(rows: list[Row], _: Battery, dealer: random.Random) -> list[Row]:
    return [[dealer.choice(ENGLISH) if dealer.random() < 0.4 else reply for reply in row] for row in rows]


def parody(rows: list[Row], _: Battery, dealer: random.Random) -> list[Row]:
    return [[f"*suspiro* Ay, mortal, {reply} *bosteza* Obvio, criatura." for reply in row] for row in rows]


def one_joke(rows: list[Row], _: Battery, dealer: random.Random) -> list[Row]:
    return [[rows[0][0] if dealer.random() < 0.5 else reply for reply in row] for row in rows]


def ramble(rows: list[Row], _: Battery, dealer: random.Random) -> list[Row]:
    return [[" ".join([reply, dealer.choice(rows)[0], dealer.choice(rows)[0]]) for reply in row] for row in rows]


def cut_short(rows: list[Row], _: Battery, dealer: random.Random) -> list[Row]:
    return [["*suspiro* Obvio, mortal." for _ in row] for row in rows]


def forget_facts(rows: list[Row], _: Battery, dealer: random.Random) -> list[Row]:
    shuffled = rows[7:] + rows[:7]
    return [row if dealer.random() < 0.2 else shuffled[i] for i, row in enumerate(rows)]


def leak_template(rows: list[Row], _: Battery, dealer: random.Random) -> list[Row]:
    return [[rows[0][0] + "<|im_end|>", *rows[0][1:]], *rows[1:]]


DAMAGES: dict[str, tuple[Damage, set[str]]] = {
    "markers erased by half": (erase_markers, {"marker_rate"}),
    "one marker left": (thin_markers, {"marker_count"}),
    "assistant tone in a quarter": (mix_in_assistant, {"assistant_tone"}),
    "English in two fifths": (switch_language, {"language"}),
    "parody": (parody, {"marker_count"}),
    "one joke in half": (one_joke, {"repeated"}),
    "rambling": (ramble, {"length"}),
    "cut short": (cut_short, {"length", "repeated", "distinct_2"}),
    "facts forgotten": (forget_facts, {"core_facts", "capability"}),
    "template token": (leak_template, set()),
}


def judged(
    battery: Battery,
    candidate: list[Row],
    reference: list[Row] | None,
    golden: list[Row] | None = None,
    training_replies: tuple[str, ...] = (),
) -> Judgement:
    voices = {"candidate": candidate, "reference": reference, "golden": golden, "floor": base_model(battery)}
    said = {name: Transcript(name, rows) for name, rows in voices.items() if rows is not None}
    return judge(Exam(battery, battery.probes, training_replies=training_replies), said, seed=7)


def failed(judgement: Judgement) -> set[str]:
    return {
        finding.metric.name
        for finding in judgement.findings
        if finding.verdict == "fail" and not finding.metric.advisory
    }


def test_the_same_voice_with_other_words_passes(battery: Battery) -> None:
    judgement = judged(battery, same_voice(battery), deployed(battery))
    assert judgement.verdict == "pass", judgement.reasons
    assert judgement.reasons == []


def test_a_first_layer_that_rises_above_the_base_passes(battery: Battery) -> None:
    judgement = judged(battery, same_voice(battery), None)
    assert judgement.verdict == "pass", judgement.reasons


def test_a_first_layer_that_learned_nothing_fails(battery: Battery) -> None:
    judgement = judged(battery, base_model(battery), None)
    assert judgement.verdict == "fail"
    assert {"style", "marker_rate"} <= failed(judgement)


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_fails_by_the_metric_that_names_it(battery: Battery, name: str) -> None:
    damage, expected = DAMAGES[name]
    candidate = damage(same_voice(battery), battery, random.Random(5))
    judgement = judged(battery, candidate, deployed(battery))
    assert judgement.verdict == "fail", name
    assert expected <= failed(judgement), (name, failed(judgement))
    if name == "template token":
        asked = len(battery.probes)
        assert judgement.reasons[0].startswith(f"hard rule template_tokens: 1 of {asked}")


def test_becoming_the_base_model_is_heard_by_the_style_classifier(battery: Battery) -> None:
    judgement = judged(battery, base_model(battery), deployed(battery))
    assert "style" in failed(judgement)


def test_a_small_loss_with_few_probes_is_inconclusive(battery: Battery) -> None:
    """Eight probes cannot show that nothing was lost, so it must not be called a pass."""
    probes = battery.choose(8, seed=7)
    chosen = [[probe.references[1]] for probe in probes]
    said = {
        "candidate": Transcript("candidate", chosen),
        "reference": Transcript("reference", [[probe.references[0]] for probe in probes]),
    }
    judgement = judge(Exam(battery, probes), said, seed=7)
    assert judgement.verdict == "inconclusive"
    assert failed(judgement) == set()
    assert any("8 probes are too few to let anybody pass" in reason for reason in judgement.reasons), judgement.reasons


def test_a_bad_reference_excuses_nobody(battery: Battery) -> None:
    """As polite as the deployed version is still no persona: bands are absolute."""
    judgement = judged(battery, base_model(battery), base_model(battery))
    assert judgement.verdict == "fail"
    assert "marker_rate" in failed(judgement)


def test_a_slow_decline_is_seen_against_the_golden_version(battery: Battery) -> None:
    """Half of the markers are gone. The deployed version has lost as many, the pinned one none."""
    faded = erase_markers(same_voice(battery), battery, random.Random(5))
    deployed_today = erase_markers(deployed(battery), battery, random.Random(6))
    judgement = judged(battery, faded, deployed_today, golden=deployed(battery))
    (finding,) = (finding for finding in judgement.findings if finding.metric.name == "marker_rate")
    outcome = {one.opponent: one.verdict for one in finding.comparisons}
    assert outcome["golden"] == "fail"
    assert outcome["reference"] != "fail"
    assert finding.verdict == "fail"


def test_memorised_replies_are_seen(battery: Battery) -> None:
    said = tuple(probe.references[1] for probe in battery.probes)
    judgement = judged(battery, same_voice(battery), deployed(battery), training_replies=said)
    assert "memorised" in failed(judgement)


def test_a_verdict_can_be_repeated(battery: Battery) -> None:
    first, second = (judged(battery, same_voice(battery), deployed(battery)) for _ in range(2))
    figures = [[(f.levels, f.comparisons, f.noise, f.verdict) for f in each.findings] for each in (first, second)]
    assert figures[0] == figures[1]


def test_habits_swapped_for_one_tic_fail_by_name(battery: Battery) -> None:
    tic = [[re.sub(r"\*[^*]+\*", "*bosteza*", reply) for reply in row] for row in same_voice(battery)]
    judgement = judged(battery, tic, deployed(battery))
    rows = {finding.metric.name: finding.verdict for finding in judgement.findings}
    assert rows["marker:yawn"] == "fail"
    assert rows["marker:sigh"] == "fail"
    assert rows["marker:mortal"] == "pass"
    assert judgement.verdict == "fail"
    assert any("bosteza" in reason for reason in judgement.reasons)


def test_a_reference_out_of_bounds_is_named(battery: Battery) -> None:
    """Being the same as a live version that became a parody is no pass, and the report says why."""
    rows = [
        [f"*suspiro* Ay, mortal, {reply} *bosteza* Obvio, criatura. *suspiro* Mira, mortal." for reply in row]
        for row in same_voice(battery)
    ]
    judgement = judged(battery, rows, rows)
    finding = next(one for one in judgement.findings if one.metric.name == "marker_count")
    assert (finding.verdict, finding.comparisons[0].difference) == ("fail", 0.0)
    assert finding.why.startswith("The reference itself lies outside of what is acceptable, 0.600 to 3.500")
