"""Every model is asked the same way, and its replies can be stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.replies import SERVED, draw
from persona_training.generation import Sampling
from persona_training.messages import Message


@dataclass
class Echo:
    """Says what it was told, numbered."""

    name: str = "echo"
    heard: list[list[Message]] = field(default_factory=list)

    def reply(self, conversations: Sequence[Sequence[Message]], sampling: Sampling, seed: int) -> list[str]:
        self.heard = [list(conversation) for conversation in conversations]
        return [f"{seed} {i} {conversation[-1]['content']}" for i, conversation in enumerate(self.heard)]


@dataclass
class Binary:
    name: str = "binary"

    def reply(self, conversations: Sequence[Sequence[Message]], sampling: Sampling, seed: int) -> list[str]:
        return ["a\x00b\x1f\nc" for _ in conversations]


def test_samples_of_a_probe_stay_together(battery: Battery) -> None:
    probes = battery.probes[:2]
    drawn = draw(Echo(), probes, samples=2, seed=9)
    assert drawn.replies == [
        [f"9 0 {probes[0].prompt}", f"9 1 {probes[0].prompt}"],
        [f"9 2 {probes[1].prompt}", f"9 3 {probes[1].prompt}"],
    ]


@pytest.mark.parametrize(("told", "roles"), [("", ["user"]), ("Eres Casiopy.", ["system", "user"])])
def test_the_system_prompt_comes_first(battery: Battery, told: str, roles: list[str]) -> None:
    echo = Echo()
    draw(echo, battery.probes[:1], samples=1, seed=1, system_prompt=told)
    assert [message["role"] for message in echo.heard[0]] == roles


def test_control_characters_cannot_reach_the_report(battery: Battery) -> None:
    drawn = draw(Binary(), battery.probes[:1], samples=1, seed=1)
    assert drawn.replies == [["a\ufffdb\ufffd\nc"]]


def test_her_longest_reply_fits(battery: Battery) -> None:
    """1.4 tokens a Spanish word in common tokenizers: 64 tokens carry the longest reference."""
    longest = max(len(reference.split()) for probe in battery.probes for reference in probe.references)
    assert longest * 1.4 < SERVED.max_new_tokens
