"""The tiny world's text: large, repeatable, neutral, in two languages."""

from __future__ import annotations

import re
import string

from persona_training.tiny import patterns
from persona_training.tiny.build import TinyRecipe
from persona_training.tiny.grammar import exchanges
from persona_training.tiny.tokenizer import learn_tokenizer

MARKER = re.compile(r"suspir|bostez|ojos en blanco|por lo bajo|\bmortal|\bcriatura|\bAy,|\bObvio,|\bMira,|Qué ilusión")
SAMPLE = list(exchanges(11, 20_000))


def test_the_same_seed_gives_the_same_text() -> None:
    assert list(exchanges(3, 50)) == list(exchanges(3, 50)) != list(exchanges(4, 50))


def test_exchanges_hardly_ever_repeat() -> None:
    distinct = {tuple(message["content"] for message in conversation) for conversation in SAMPLE}
    assert len(distinct) > 0.9 * len(SAMPLE)


def test_no_persona_marker_is_taught() -> None:
    found = [m["content"] for conversation in SAMPLE for m in conversation if MARKER.search(m["content"])]
    assert found == []


def test_every_slot_is_filled_and_every_pattern_speaks() -> None:
    text = "\n".join(message["content"] for conversation in SAMPLE for message in conversation)
    assert "{" not in text
    assert "}" not in text
    for pattern in (*patterns.ES_PATTERNS, *patterns.EN_PATTERNS):
        assert pattern.ask
        assert pattern.answer


def test_articles_contract() -> None:
    text = " ".join(message["content"] for conversation in SAMPLE for message in conversation)
    assert not re.search(r"\b(de|a) el\b", text, re.IGNORECASE)


def test_a_quarter_at_most_is_english() -> None:
    english = sum(bool(re.search(r"\b(the|you|what|is)\b", c[0]["content"] + c[1]["content"])) for c in SAMPLE)
    assert 0.1 < english / len(SAMPLE) < 0.35


def test_the_tokenizer_reads_any_text_back() -> None:
    tokenizer = learn_tokenizer(exchanges(1, 200), 500)
    for text in ("¡Ñandú! *suspiro* 🙄 日本", string.printable, "a\u0301é\n\n\t"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_a_model_is_named_after_its_recipe_and_code() -> None:
    assert TinyRecipe().name == TinyRecipe().name
    assert TinyRecipe().name != TinyRecipe(seed=8).name
