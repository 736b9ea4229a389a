"""Reasons in plain words."""

import pytest
from memory_service.recall.reasons import reason, why_words_only


@pytest.mark.parametrize(
    ("dense", "words", "language", "words_only", "says"),
    [
        ((1, 0.697), ["gato"], "es", None, "se parece por el significado (puesto 1, coseno 0,70); comparte «gato»"),
        ((3, 0.5), [], "es", None, "se parece por el significado (puesto 3, coseno 0,50); no comparte palabras"),
        (None, ["gato", "miso"], "es", None, "comparte «gato», «miso»; aún no tiene vector"),
        ((1, 0.697), ["cat"], "en", None, "close in meaning (rank 1, cosine 0.70); shares “cat”"),
        (None, ["cat"], "ja", None, "shares “cat”; has no vector yet"),
        (None, ["cat"], "en", "searched by words only: it loads", "shares “cat”; searched by words only: it loads"),
        (None, [], "en", None, "shares no words; has no vector yet; told with the others: all of them fit"),
        (None, [], "es", None, "no comparte palabras; aún no tiene vector; va con las demás: caben todas"),
        (None, [], "en", "X", "shares no words; X; told with the others: all of them fit"),
        (
            (1, 1.0),
            list("abcdefg"),
            "en",
            None,
            "close in meaning (rank 1, cosine 1.00); shares “a”, “b”, “c”, “d”, “e”",
        ),
    ],
)
def test_a_reason_says_what_each_arm_saw(
    dense: tuple[int, float] | None, words: list[str], language: str, words_only: str | None, says: str
) -> None:
    assert reason(dense, words, language, words_only=words_only) == says


@pytest.mark.parametrize("cause", ["loading", "slow", "failed", "off"])
def test_recall_by_words_alone_says_why_in_both_languages(cause: str) -> None:
    assert why_words_only(cause, "es").startswith("búsqueda solo por palabras: ")
    assert why_words_only(cause, "en").startswith("searched by words only: ")
