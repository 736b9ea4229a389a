"""What recall is compared with: BM25, dense vectors and their fusion by reciprocal ranks, over the same stored texts."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

import bm25s
import numpy as np
import snowballstemmer
from bm25s.stopwords import STOPWORDS_EN, STOPWORDS_EN_PLUS, STOPWORDS_SPANISH
from conversations import Language
from numpy.typing import NDArray

# Best first: positions in the list of texts that was indexed.
Ranking = list[int]
Ask = Callable[[str], Ranking]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]

NAMES = ("BM25", "BM25, longer stop list", "dense", "RRF")
# Cormack, Clarke & Büttcher, SIGIR 2009.
_RRF_K = 60
# Lucene's variant with its usual parameters, as in the published comparisons of conversational retrieval.
_BM25 = {"method": "lucene", "k1": 1.5, "b": 0.75}
_STEMMERS = {"en": "english", "es": "spanish"}
StopWords = Mapping[Language, Sequence[str]]
# Lucene's 33 English words, with which most published figures were made, and the longer list that chat needs; bm25s has one
# Spanish list.
LUCENE: StopWords = {"en": STOPWORDS_EN, "es": STOPWORDS_SPANISH}
LONGER: StopWords = {"en": STOPWORDS_EN_PLUS, "es": STOPWORDS_SPANISH}
_WORD = re.compile(r"\w\w+")


class Tokens:
    """Stemmed words of a text: lower case, stop words out, Snowball stems, accents folded.

    Stems are those of the memories' language on both sides, or no word of a question would meet its own form; stop words go
    by each text's own language.
    """

    def __init__(self, language: Language, stop_words: StopWords) -> None:
        self._stop_words = {one: frozenset(words) for one, words in stop_words.items()}
        self._stemmer = snowballstemmer.stemmer(_STEMMERS[language])
        self._stems: dict[str, str] = {}

    def __call__(self, text: str, language: Language) -> list[str]:
        """The words in order."""
        words = [word for word in _WORD.findall(text.lower()) if word not in self._stop_words[language]]
        for word in words:
            if word not in self._stems:
                self._stems[word] = _folded(self._stemmer.stemWord(word))
        return [self._stems[word] for word in words]


def _folded(word: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFD", word) if not unicodedata.combining(one))


def bm25(texts: Sequence[str], languages: tuple[Language, Language], stop_words: StopWords = LUCENE) -> Ask:
    """BM25 (bm25s) over `texts`; `languages` of the texts and of the questions. A text without any word of it is not given."""
    said_in, asked_in = languages
    tokens = Tokens(said_in, stop_words)
    index = bm25s.BM25(**_BM25)
    index.index([tokens(text, said_in) for text in texts], show_progress=False)
    known = index.vocab_dict

    def ask(question: str) -> Ranking:
        words = [word for word in tokens(question, asked_in) if word in known]
        if not words:
            return []
        scores = index.get_scores(words)
        return [int(one) for one in np.argsort(-scores, kind="stable") if scores[one] > 0]

    return ask


def dense(texts: Sequence[str], embed_texts: Embed, embed_questions: Embed) -> Ask:
    """Cosine over one vector of each text, exact."""
    vectors = embed_texts(texts)

    def ask(question: str) -> Ranking:
        return [int(one) for one in np.argsort(-(vectors @ embed_questions([question])[0]), kind="stable")]

    return ask


def rrf(*rankings: Sequence[int], k: int = _RRF_K) -> Ranking:
    """Each text gains 1 / (k + rank) from each ranking that gives it; the earlier text first where two gain the same."""
    gained: dict[int, float] = {}
    for ranking in rankings:
        for rank, one in enumerate(ranking, 1):
            gained[one] = gained.get(one, 0.0) + 1 / (k + rank)
    return sorted(gained, key=lambda one: (-gained[one], one))


def baselines(
    texts: Sequence[str], languages: tuple[Language, Language], embed_texts: Embed, embed_questions: Embed
) -> Callable[[str], dict[str, Ranking]]:
    """A function from a question to the ranking of each of NAMES."""
    by_words, by_fewer_words = (bm25(texts, languages, stop_words) for stop_words in (LUCENE, LONGER))
    by_meaning = dense(texts, embed_texts, embed_questions)

    def ask(question: str) -> dict[str, Ranking]:
        lexical, near = by_words(question), by_meaning(question)
        return dict(zip(NAMES, (lexical, by_fewer_words(question), near, rrf(lexical, near)), strict=True))

    return ask
