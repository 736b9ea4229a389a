"""The Modelfile and the request say the same, and the template renders as the model was trained."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.generation import Sampling
from persona_training.ollama.modelfile import (
    CHATML,
    ModelfileError,
    Serving,
    create_request,
    ollama_template,
    render_modelfile,
    serving_parameters,
)
from persona_training.tiny.tokenizer import CHATML_TEMPLATE

SAMPLING = Sampling(temperature=0.8, top_p=0.9, top_k=40, repetition_penalty=1.1, max_new_tokens=64)


def serving(system: str = "Eres Casiopy.", template: str = CHATML) -> Serving:
    return Serving("m.gguf", system, template, serving_parameters(SAMPLING, ["<|im_end|>", "<|im_start|>"], 512))


def test_the_whole_modelfile() -> None:
    assert render_modelfile(serving()) == (
        "FROM ./m.gguf\n"
        'TEMPLATE """{{- range .Messages }}<|im_start|>{{ .Role }}\n'
        "{{ .Content }}<|im_end|>\n"
        '{{ end }}<|im_start|>assistant\n"""\n'
        'SYSTEM """Eres Casiopy."""\n'
        "PARAMETER temperature 0.8\n"
        "PARAMETER top_p 0.9\n"
        "PARAMETER top_k 40\n"
        "PARAMETER repeat_penalty 1.1\n"
        "PARAMETER repeat_last_n -1\n"
        "PARAMETER num_predict 256\n"
        "PARAMETER num_ctx 512\n"
        'PARAMETER stop "<|im_end|>"\n'
        'PARAMETER stop "<|im_start|>"\n'
    )


def test_the_request_names_files_and_never_a_model_to_pull() -> None:
    body = create_request("casiopy:candidate", serving(), "ab" * 32)
    assert "from" not in body
    assert body["files"] == {"m.gguf": "sha256:" + "ab" * 32}
    assert body["system"] == "Eres Casiopy."
    assert body["template"] == CHATML
    assert body["parameters"]["stop"] == ["<|im_end|>", "<|im_start|>"]


def test_nothing_is_said_where_there_is_nothing_to_say() -> None:
    bare = serving(system="", template="")
    assert "SYSTEM" not in render_modelfile(bare)
    assert "TEMPLATE" not in render_modelfile(bare)
    assert not {"system", "template"} & set(create_request("t:1", bare, "0"))


@given(st.text(max_size=60).filter(lambda text: '"""' not in text and "\r" not in text))
def test_any_system_prompt_can_be_read_back(system: str) -> None:
    found = re.search(r'SYSTEM """(.*)"""\nPARAMETER temperature', render_modelfile(serving(system)), re.DOTALL)
    if not system:
        assert found is None
        return
    assert found is not None
    assert found[1] in (system, system + "\n")
    assert not found[1].endswith('"')


def test_three_quotes_are_refused() -> None:
    with pytest.raises(ModelfileError, match="core memory"):
        render_modelfile(serving('Di """hola""".'))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHATML_TEMPLATE, CHATML),
        ("{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}", ""),
        (CHATML_TEMPLATE.replace("<|im_end|>", "<|end|>"), ""),
        ("{{ raise_exception('no') }}", ""),
        ("{% if %}", ""),
    ],
)
def test_only_chatml_is_translated(template: str, expected: str) -> None:
    assert ollama_template(template) == expected


def test_the_context_is_bounded() -> None:
    assert serving_parameters(SAMPLING, [], 131_072)["num_ctx"] == 8192
