"""Templates that rewrite earlier turns give way; whatever can be trained on stays as the base has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from persona_training.chat_template import encode, render
from persona_training.errors import TemplateError
from persona_training.gguf_export.template import without_generation_tags
from persona_training.messages import Message
from persona_training.models import load_tokenizer
from persona_training.ollama.modelfile import ollama_template
from persona_training.plain_templates import CHATML, MISTRAL, QWEN3, replaced
from persona_training.tiny.tokenizer import CHATML_TEMPLATE, learn_tokenizer
from transformers import PreTrainedTokenizerFast

CONVERSATION = [
    Message(role="system", content="Eres Casiopy."),
    Message(role="user", content="Hola"),
    Message(role="assistant", content="*suspiro* Hola, mortal."),
    Message(role="user", content="¿Qué tal?"),
    Message(role="assistant", content="Peor que ayer."),
]
# What the two families' own templates do, without the parts about tools.
QWEN3_OWN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{% endif %}"
)
MISTRAL_OWN = (
    "{{ bos_token }}{% set system = messages[0].content if messages[0].role == 'system' %}"
    "{% for m in (messages[1:] if system else messages) %}"
    "{% if m.role == 'user' and loop.last and system %}{{ '[INST] ' + system + '\\n\\n' + m.content + '[/INST]' }}"
    "{% elif m.role == 'user' %}{{ '[INST] ' + m.content + '[/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + MISTRAL_OWN


def saved(folder: Path, template: str, tokens: list[str], eos: str = "<|im_end|>") -> Path:
    tokenizer: PreTrainedTokenizerFast = learn_tokenizer([CONVERSATION], 320)
    tokenizer.add_special_tokens({"additional_special_tokens": tokens, "eos_token": eos, "bos_token": "<s>"})
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("own", "tokens", "eos", "plain", "name"),
    [
        (QWEN3_OWN, ["<|im_start|>", "<think>", "</think>"], "<|im_end|>", QWEN3, "Qwen3's without thoughts"),
        (QWEN3_OWN, ["<|im_start|>"], "<|im_end|>", CHATML, "plain ChatML"),
        (MISTRAL_OWN, ["[INST]", "[/INST]"], "</s>", MISTRAL, "Mistral's"),
        (NO_SYSTEM, ["[INST]", "[/INST]"], "</s>", MISTRAL, "Mistral's"),
    ],
)
def test_a_template_that_rewrites_turns_gives_way(
    own: str, tokens: list[str], eos: str, plain: str, name: str, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(saved(tmp_path, own, tokens, eos))
    assert tokenizer.chat_template == plain
    assert replaced(tokenizer).startswith(name)
    text, spans = render(tokenizer, CONVERSATION)
    assert [text[span.start : span.end].strip() for span in spans] == [
        f"*suspiro* Hola, mortal.{eos}",
        f"Peor que ayer.{eos}",
    ]
    assert text.count("Eres Casiopy.") == 1
    assert text.index("Eres Casiopy.") < text.index("Hola")
    example = encode(tokenizer, CONVERSATION)
    assert 0 < example.learned < example.length
    tokenizer.save_pretrained(tmp_path / "again")
    assert load_tokenizer(tmp_path / "again").chat_template == plain
    assert without_generation_tags(plain) == plain


@pytest.mark.parametrize(
    "own", [CHATML_TEMPLATE, CHATML_TEMPLATE.replace("message['content']", "message['content'] | trim")]
)
def test_a_template_that_can_be_trained_on_stays(own: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(saved(tmp_path, own, ["<|im_start|>", "<think>", "</think>"]))
    assert tokenizer.chat_template == own
    assert replaced(tokenizer) == ""


def test_an_unknown_family_keeps_its_own_and_is_refused_in_words(tmp_path: Path) -> None:
    folder = saved(tmp_path, MISTRAL_OWN, ["<end>"], "<end>")
    tokenizer = load_tokenizer(folder)
    assert tokenizer.chat_template == MISTRAL_OWN
    with pytest.raises(TemplateError, match="rewrites earlier turns"):
        render(tokenizer, CONVERSATION)


def test_ollama_is_given_its_own_chatml_only_for_what_is_chatml() -> None:
    assert ollama_template(CHATML)
    assert not ollama_template(QWEN3)
    assert not ollama_template(MISTRAL)
