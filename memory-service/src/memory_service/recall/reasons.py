"""Why something was recalled, in plain words. Pure."""

from collections.abc import Sequence

_SENTENCES = {
    "es": {
        "meaning": "se parece por el significado (puesto {rank}, coseno {score})",
        "far": "por el significado queda más lejos (coseno {score})",
        "words": "comparte {words}",
        "no_words": "no comparte palabras",
        "unembedded": "aún no tiene vector",
        "all_fit": "va con las demás: caben todas",
        "point": ",",
        "quoted": "«{word}»",
        "words_only": "búsqueda solo por palabras: {why}",
    },
    "en": {
        "meaning": "close in meaning (rank {rank}, cosine {score})",
        "far": "further away in meaning (cosine {score})",
        "words": "shares {words}",
        "no_words": "shares no words",
        "unembedded": "has no vector yet",
        "all_fit": "told with the others: all of them fit",
        "point": ".",
        "quoted": "“{word}”",
        "words_only": "searched by words only: {why}",
    },
}
_WHY = {
    "es": {
        "loading": "el modelo de embeddings aún se está cargando",
        "slow": "el modelo de embeddings tardó demasiado en contestar",
        "failed": "no hay modelo de embeddings (véase /health)",
        "off": "la consulta no pidió el brazo denso",
    },
    "en": {
        "loading": "the embedding model is still loading",
        "slow": "the embedding model took too long to answer",
        "failed": "there is no embedding model (see /health)",
        "off": "the request did not ask for the dense arm",
    },
}
# More words than this tell a reader nothing new.
_WORDS_SHOWN = 5


def _language(language: str) -> str:
    return language if language in _SENTENCES else "en"


def why_words_only(cause: str, language: str) -> str:
    """The sentence for a recall without its dense arm; `cause` is loading, slow, failed or off."""
    known = _language(language)
    return _SENTENCES[known]["words_only"].format(why=_WHY[known][cause])


def reason(
    dense: tuple[int | None, float] | None, words: Sequence[str], language: str, *, words_only: str | None = None
) -> str:
    """Why this memory or exchange was recalled.

    Args:
        dense: place (None: beyond the first ones) and cosine in the dense arm, if it has one.
        words: the question's words it shares, rarest first. With neither, it was told because everything fits.
        language: ISO code of the persona's language; Spanish or, for all others, English.
        words_only: the sentence of `why_words_only` when the dense arm did not run.
    """
    say = _SENTENCES[_language(language)]
    parts = []
    if dense is not None:
        cosine = f"{dense[1]:.2f}".replace(".", say["point"])
        parts.append(say["meaning" if dense[0] else "far"].format(rank=dense[0], score=cosine))
    if words:
        shown = ", ".join(say["quoted"].format(word=word) for word in words[:_WORDS_SHOWN])
        parts.append(say["words"].format(words=shown))
    else:
        parts.append(say["no_words"])
    if dense is None:
        parts.append(words_only or say["unembedded"])
        if not words:
            parts.append(say["all_fit"])
    return "; ".join(parts)
