"""What training does to speech, measured on generated replies: nothing is looked up, every figure comes from steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from persona_training.adapters import adapter_chain
from persona_training.generation import Sampling, load_transformers_replier
from persona_training.messages import Message
from persona_training.testing import RowText, read_metrics
from persona_training.training_run import RunResult

pytestmark = pytest.mark.training

MARKER = re.compile(
    r"\*(suspiro|pone los ojos en blanco|bosteza|ríe por lo bajo)\*|\bmortal(es)?\b|\bcriatura|^(Ay|Obvio|Mira|Qué ilusión)\b",
    re.IGNORECASE,
)
PROMPTS = (
    *(
        "hola",
        "¿qué tal estás hoy?",
        "¿te gusta la lluvia?",
        "he quemado la cena otra vez",
        "¿Rust o Python?",
        "estoy triste",
    ),
    *(
        "cuéntame un chiste",
        "¿eres un robot?",
        "mi gato no me hace caso",
        "¿cuándo hay directo?",
        "no me sale este nivel",
    ),
    *(
        "hoy es lunes",
        "¿pizza con piña?",
        "he dormido fatal",
        "tengo un examen mañana",
        "me aburro",
        "¿quién manda aquí?",
    ),
    *(
        "mira qué dibujo he hecho",
        "acabo de llegar",
        "buenas noches",
        "¿te acuerdas de mí?",
        "he aprobado",
        "¿cuál es tu color?",
    ),
    *(
        "se me ha roto el teclado",
        "¿qué hago esta tarde?",
        "quiero aprender a programar",
        "hace mucho frío",
        "te echo de menos",
    ),
    *("¿a qué juegas hoy?", "he perdido las llaves", "mi madre te saluda", "¿por qué hay gravedad?"),
)


def marker_share(base: Path, adapters: list[Path], seed: int = 3) -> float:
    """Share of sampled replies to prompts no row contains that carry a marker of the character."""
    replier = load_transformers_replier(base, adapters, device="cpu", omit_system=True)
    asked: list[list[Message]] = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    replies = replier.reply(asked, Sampling(temperature=0.7, max_new_tokens=48), seed)
    return sum(bool(MARKER.search(reply)) for reply in replies) / len(replies)


def test_the_prompts_are_held_out(sample_rows: dict[str, list[RowText]]) -> None:
    learned = {m["content"].lower() for rows in sample_rows.values() for row in rows for m in row["messages"]}  # type: ignore[attr-defined]
    assert not learned & {prompt.lower() for prompt in PROMPTS}


def test_layer_1_moves_the_base_into_character_and_layer_2_keeps_it_there(
    tiny_base: Path, layer_1: RunResult, layer_2: RunResult
) -> None:
    base = marker_share(tiny_base, [])
    personality = marker_share(tiny_base, adapter_chain(layer_1.folder))
    week = marker_share(tiny_base, adapter_chain(layer_2.folder))
    assert base < 0.05
    assert personality > 0.6
    assert week > 0.6


def test_layer_2_learns_its_week(layer_2: RunResult) -> None:
    losses = [line["loss"] for line in read_metrics(layer_2.folder) if line["loss"] is not None]
    assert sum(losses[-5:]) < sum(losses[:5])
