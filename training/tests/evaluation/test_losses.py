"""Losses are what the model's own probabilities say, whatever stands beside a text in the batch."""

from __future__ import annotations

import pytest
import torch
from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.battery import Battery
from persona_training.evaluation.losses import general_losses, persona_losses
from persona_training.generation import Sampling, TransformersReplier
from persona_training.messages import Message
from persona_training.tiny.tokenizer import learn_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

PAIRS = [
    ("Hola", "Qué ilusión, otro mortal."),
    ("¿Quién eres?", "Tu peor pesadilla, con café y sin paciencia."),
    ("¿Qué?", "Nada."),
]


@pytest.fixture(scope="module")
def model(battery: Battery) -> TransformersReplier:
    tokenizer = learn_tokenizer([[Message(role="user", content=probe.prompt)] for probe in battery.probes], 300)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        random = LlamaForCausalLM(  # type: ignore[no-untyped-call]
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=128,
            )
        )
    return TransformersReplier(
        "random", random.eval(), tokenizer, torch.device("cpu"), batch_size=2, max_prompt_tokens=128
    )


def by_hand(model: TransformersReplier, before: list[int], own: list[int]) -> float:
    with torch.inference_mode():
        logits = model.model(torch.tensor([before + own])).logits[0].double()
    chances = torch.log_softmax(logits, dim=-1)
    return -sum(float(chances[len(before) + i - 1, token]) for i, token in enumerate(own)) / len(own)


def ids(model: TransformersReplier, text: str) -> list[int]:
    found: list[int] = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def test_a_reply_is_scored_under_the_template_up_to_its_end_token(model: TransformersReplier) -> None:
    losses = persona_losses(model, PAIRS, "Eres Casiopy.")
    for (prompt, reply), loss in zip(PAIRS, losses, strict=True):
        said = [{"role": "system", "content": "Eres Casiopy."}, {"role": "user", "content": prompt}]
        before = str(model.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))
        own = ids(model, f"{reply}{model.tokenizer.eos_token}")
        assert loss == pytest.approx(by_hand(model, ids(model, before), own), rel=1e-4)


def test_company_changes_nothing(model: TransformersReplier) -> None:
    together = persona_losses(model, PAIRS)
    assert together == pytest.approx([persona_losses(model, [pair])[0] for pair in PAIRS], rel=1e-5)


def test_a_system_prompt_that_she_was_trained_without_is_not_told(model: TransformersReplier) -> None:
    bare = persona_losses(model, PAIRS)
    assert persona_losses(model, PAIRS, "Eres Casiopy.") != pytest.approx(bare, rel=1e-5)
    model.omit_system = True
    try:
        assert persona_losses(model, PAIRS, "Eres Casiopy.") == pytest.approx(bare, rel=1e-5)
    finally:
        model.omit_system = False


def test_a_general_text_stands_alone(model: TransformersReplier) -> None:
    text = "El agua hierve a cien grados al nivel del mar."
    own = ids(model, text)
    start = model.tokenizer.bos_token_id
    expected = by_hand(model, [start], own) if start is not None else by_hand(model, own[:1], own[1:])
    assert general_losses(model, [text]) == pytest.approx([expected], rel=1e-4)


def test_a_long_text_loses_its_beginning_and_no_texts_have_no_losses(model: TransformersReplier) -> None:
    (loss,) = general_losses(model, ["El agua hierve a cien grados al nivel del mar. " * 20])
    assert 0 < loss < 20
    assert general_losses(model, []) == persona_losses(model, []) == []


def test_a_text_without_anything_to_foretell(model: TransformersReplier) -> None:
    with pytest.raises(PersonaTrainingError, match="too short"):
        general_losses(model, [""])


def test_a_reply_that_would_fill_the_context_is_refused(model: TransformersReplier) -> None:
    asked = [[Message(role="user", content="hola")]]
    with pytest.raises(PersonaTrainingError, match=f"a reply of up to {model.max_prompt_tokens} would fill"):
        model.reply(asked, Sampling(temperature=0.0, max_new_tokens=model.max_prompt_tokens), seed=0)
