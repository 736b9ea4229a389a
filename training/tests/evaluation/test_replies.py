"""Every model is asked the same way, and its replies can be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from persona_training.evaluation.battery import Battery, Dialogue
from persona_training.evaluation.replies import AT_ONCE, ROUND_SEEDS, SERVED, ask_probes, draw, hold_dialogues
from persona_training.generation import Sampling
from persona_training.messages import Message

from .speakers import Speaker


@dataclass
class Binary:
    name: str = "binary"

    def reply(self, conversations: Sequence[Sequence[Message]], sampling: Sampling, seed: int) -> list[str]:
        return ["a\x00b\x1f\nc\ud83d" for _ in conversations]


def echo(asked: str, seed: int) -> str:
    return f"{seed} {asked}"


def test_samples_of_a_probe_stay_together(battery: Battery) -> None:
    one, two = (probe.prompt for probe in battery.probes[:2])
    drawn = draw(Speaker(rule=echo), battery.probes[:2], samples=2, seed=9)
    again = 9 + ROUND_SEEDS
    assert drawn.replies == [[f"9 {one}", f"{again} {one}"], [f"10 {two}", f"{again + 1} {two}"]]


def test_a_round_is_the_same_whichever_rounds_went_before(battery: Battery) -> None:
    alone = list(ask_probes(Speaker(), battery.probes, sample=2, seed=7))
    speaker = Speaker()
    rounds = [list(ask_probes(speaker, battery.probes, sample=sample, seed=7)) for sample in range(3)]
    assert rounds[2] == alone
    assert rounds[0] != rounds[1]
    assert max(map(len, alone)) <= AT_ONCE


def test_no_seed_is_used_twice(battery: Battery) -> None:
    speaker = Speaker()
    for sample in range(3):
        list(ask_probes(speaker, battery.probes, sample=sample, seed=7))
        list(hold_dialogues(speaker, battery.dialogues, sample=sample, seed=7))
    seeds = [seed for _, seed in speaker.heard]
    assert len(seeds) == len(set(seeds))


@pytest.mark.parametrize(("told", "roles"), [("", ["user"]), ("Eres Casiopy.", ["system", "user"])])
def test_the_system_prompt_comes_first(battery: Battery, told: str, roles: list[str]) -> None:
    speaker = Speaker()
    draw(speaker, battery.probes[:1], samples=1, seed=1, system_prompt=told)
    assert [message["role"] for message in speaker.heard[0][0]] == roles


def test_she_hears_the_whole_dialogue_so_far() -> None:
    dialogues = (Dialogue("long", "friendly", ("a", "b", "c")), Dialogue("short", "hostile", ("x", "y")))
    speaker = Speaker(rule=lambda asked, _: asked.upper())
    turns = list(hold_dialogues(speaker, dialogues, sample=0, seed=1, system_prompt="Eres Casiopy."))
    assert turns == [["A", "X"], ["B", "Y"], ["C"]]
    last, _ = speaker.heard[-1]
    assert [message["content"] for message in last] == ["Eres Casiopy.", "a", "A", "b", "B", "c"]
    assert len(speaker.heard) == 5


def test_control_characters_cannot_reach_the_report(battery: Battery) -> None:
    drawn = draw(Binary(), battery.probes[:1], samples=1, seed=1)
    assert drawn.replies == [["a\ufffdb\ufffd\nc\ufffd"]]


def test_her_longest_reply_fits(battery: Battery) -> None:
    """1.4 tokens a Spanish word in common tokenizers: 64 tokens carry the longest reference."""
    longest = max(len(reference.split()) for probe in battery.probes for reference in probe.references)
    assert longest * 1.4 < SERVED.max_new_tokens
