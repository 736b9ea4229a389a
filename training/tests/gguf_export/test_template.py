"""The template says the same after its training marks are gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jinja2 import Environment
from persona_training.gguf_export.architecture import GgufError
from persona_training.gguf_export.template import read_chat_template, stop_tokens, without_generation_tags

MESSAGES = [
    {"role": "system", "content": "Eres Casiopy."},
    {"role": "user", "content": "hola"},
    {"role": "assistant", "content": "*suspiro*\nHola, mortal."},
]


@pytest.mark.parametrize("left", ["", "-", "+"])
@pytest.mark.parametrize("right", ["", "-"])
def test_rendering_is_unchanged(left: str, right: str) -> None:
    body = "  {{ m.content }}<|im_end|>  "
    tagged = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        f" {{%{left} generation {right}%}}{body}{{%{left} endgeneration {right}%}} \n"
        "{% endfor %}"
    )
    plain = tagged.replace("endgeneration", "endif").replace(" generation", " if 1")
    cleaned = without_generation_tags(tagged)
    assert "generation" not in cleaned
    environment = Environment(trim_blocks=True, lstrip_blocks=True)  # as chat templates are rendered
    assert environment.from_string(cleaned).render(messages=MESSAGES) == environment.from_string(plain).render(
        messages=MESSAGES
    )


def test_generation_prompt_flag_is_no_tag() -> None:
    template = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    assert without_generation_tags(template) == template


def test_of_several_templates_the_default_is_taken(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "TOOLS"}, {"name": "default", "template": "{{ messages[0].content }}"}]
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": named}), encoding="utf-8")
    assert read_chat_template(tmp_path) == "{{ messages[0].content }}"
    config.write_text(json.dumps({"chat_template": named[:1]}), encoding="utf-8")
    with pytest.raises(GgufError, match="No chat template"):
        read_chat_template(tmp_path)


@pytest.mark.parametrize(
    ("template", "eos", "stops"),
    [
        ("<|im_start|>{{ role }}<|im_end|>", "<|im_end|>", ["<|im_end|>", "<|im_start|>"]),
        ("[INST] {{ text }} [/INST]", "</s>", ["</s>"]),
        ("{{ text }}<|eot_id|>", "<|end_of_text|>", ["<|end_of_text|>", "<|eot_id|>"]),
    ],
)
def test_stops(template: str, eos: str, stops: list[str]) -> None:
    assert stop_tokens(template, eos) == stops
