"""The loss sees the assistant's words and end tokens, and nothing else, whatever the conversation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from persona_training.chat_template import IGNORED, Example, encode, preview, render
from persona_training.errors import TemplateError
from persona_training.messages import Message
from persona_training.tiny.grammar import exchanges
from persona_training.tiny.tokenizer import learn_tokenizer
from transformers import PreTrainedTokenizerFast

TOKENIZER = learn_tokenizer(exchanges(1, 300), 600)

words = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=40).map(str.strip).filter(bool)
turns = st.lists(st.tuples(words, words), min_size=1, max_size=4)


def conversation(exchanged: list[tuple[str, str]], system: str | None = None) -> list[Message]:
    messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    for asked, replied in exchanged:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": replied}]
    return messages


def learned(example: Example) -> str:
    return str(TOKENIZER.decode([label for label in example.labels if label != IGNORED]))


@given(turns, st.none() | words)
@settings(deadline=None, max_examples=60)
def test_exactly_the_replies_and_their_end_tokens_are_learned(
    exchanged: list[tuple[str, str]], system: str | None
) -> None:
    special = ("<|im_start|>", "<|im_end|>", "<|pad|>")
    if any(mark in text for turn in exchanged for text in turn for mark in special):
        return
    example = encode(TOKENIZER, conversation(exchanged, system))
    assert learned(example) == "".join(f"{replied}<|im_end|>" for _, replied in exchanged)
    assert all(label in (IGNORED, token) for token, label in zip(example.input_ids, example.labels, strict=True))


def test_the_example_is_the_rendered_conversation() -> None:
    messages = conversation([("hola", "*suspiro* Hola."), ("¿qué tal?", "Mejor que tú, mortal.")], "Eres Casiopy.")
    text, spans = render(TOKENIZER, messages)
    assert TOKENIZER.decode(list(encode(TOKENIZER, messages).input_ids)) == text
    assert [text[span.start : span.end] for span in spans] == [
        "*suspiro* Hola.<|im_end|>",
        "Mejor que tú, mortal.<|im_end|>",
    ]


def test_the_preview_shows_what_is_learned() -> None:
    example = encode(TOKENIZER, conversation([("hola", "Buenas.")]))
    assert preview(TOKENIZER, example) == [
        ("<|im_start|>user\nhola<|im_end|>\n<|im_start|>assistant\n", False),
        ("Buenas.<|im_end|>", True),
        ("\n", False),
    ]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{% for m in messages %}{{ messages|length }}{{ m['content'] }}<|im_end|>{% endfor %}",
            "rewrites earlier turns",
        ),
        ("{% for m in messages %}{{ m['content'] + '\n' }}{% endfor %}", "never learn to stop"),
    ],
)
def test_templates_that_hide_the_reply_are_refused(template: str, message: str) -> None:
    other = PreTrainedTokenizerFast(tokenizer_object=TOKENIZER.backend_tokenizer, eos_token="<|im_end|>")  # type: ignore[no-untyped-call]
    other.chat_template = template
    with pytest.raises(TemplateError, match=message):
        encode(other, conversation([("a", "b"), ("c", "d")]))
