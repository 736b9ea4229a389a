"""Does she still have more than one thing to say? All values in [0, 1]."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from persona_training.evaluation.words import content_words, ngrams, plain, spoken_words, words

Replies = Sequence[Sequence[str]]  # prompts x samples

SAME_REPLY = 0.8  # Jaccard similarity of word sets from which two replies are the same joke with another noun
ORDERS = (1, 2, 3, 4)
OTHERS = 12  # references of one self-BLEU; with 24 the shipped replies have 0.155 instead of 0.139, and it takes twice as long


def distinct_ngrams(replies: Sequence[str], n: int) -> list[float]:
    """Per reply: the mean of 1/(occurrences among all replies) over its n-grams; 1 is all new, near 0 a stuck record.

    Averaged over n-grams this is distinct-n (different n-grams / all n-grams; Li et al. 2016, arXiv 1510.03055); split per
    reply so that it can be resampled by prompt. NaN for replies of fewer than n words.
    """
    grams = [ngrams(words(reply), n) for reply in replies]
    seen = Counter(gram for reply in grams for gram in reply)
    return [sum(1 / seen[gram] for gram in reply) / len(reply) if reply else math.nan for reply in grams]


def repeated_elsewhere(replies: Replies) -> list[list[float]]:
    """Per prompt and sample: 1.0 when nearly the same reply was given to another prompt, else 0.0.

    Nearly the same: the sets of words overlap by at least 0.8 (Jaccard). Repeats under the same prompt are no fault.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    flat = [plain(reply).split() for samples in replies for reply in samples]
    prompt_of = np.array([i for i, samples in enumerate(replies) for _ in samples])
    if not any(flat):
        return [[0.0 for _ in samples] for samples in replies]
    sets = CountVectorizer(analyzer=_as_is, binary=True, dtype=np.int32).fit_transform(flat)
    shared = (sets @ sets.T).toarray()
    sizes = np.asarray(sets.sum(axis=1)).ravel()
    same = (shared >= SAME_REPLY * (sizes[:, None] + sizes[None, :] - shared)) & (sizes > 0)[:, None]
    same &= prompt_of[:, None] != prompt_of[None, :]
    found = iter(same.any(axis=1).astype(float).tolist())
    return [[next(found) for _ in samples] for samples in replies]


def _as_is(tokens: list[str]) -> list[str]:
    return tokens


def self_bleu(replies: Replies) -> list[list[float]]:
    """Per prompt and sample: BLEU-4 of the reply against replies to other prompts; 1 is a copy of them, 0 shares no word.

    Self-BLEU (Zhu et al. 2018, arXiv 1802.01886) with at most 12 references instead of all: the same sample of prompts at
    even distances, so that two voices are compared on the same pairs. Spoken words only; NaN for a reply without any.
    """
    counted = [[_grams(spoken_words(reply)) for reply in samples] for samples in replies]
    many = len(counted)
    step = max(1, many // (OTHERS + 1))
    distances = sorted({k * step for k in range(1, OTHERS + 1) if k * step < many})
    return [
        [bleu(own, [counted[(i + far) % many][s] for far in distances]) for s, own in enumerate(samples)]
        for i, samples in enumerate(counted)
    ]


Grams = tuple[int, list[Counter[tuple[str, ...]]]]  # number of words, and the n-grams of every order


def _grams(tokens: list[str]) -> Grams:
    return len(tokens), [Counter(ngrams(tokens, n)) for n in ORDERS]


def bleu(own: Grams, others: Sequence[Grams]) -> float:
    """BLEU-4 of one reply against references (Papineni et al. 2002), in [0, 1]; NaN without words or references.

    Orders above 1 are smoothed by adding one to hits and n-grams (Lin & Och 2004), orders the reply is too short for are left
    out, and the brevity penalty takes the reference nearest in length.
    """
    length, counts = own
    others = [other for other in others if other[0]]
    if not length or not others:
        return math.nan
    logs = []
    for order, grams in zip(ORDERS, counts, strict=True):
        total = length - order + 1
        if total < 1:
            break
        hits = sum(min(n, max(other[order - 1][gram] for _, other in others)) for gram, n in grams.items())
        extra = 0 if order == 1 else 1
        if hits + extra == 0:
            return 0.0
        logs.append(math.log((hits + extra) / (total + extra)))
    nearest = min((abs(other[0] - length), other[0]) for other in others)[1]
    brevity = min(0.0, 1 - nearest / length)
    return math.exp(sum(logs) / len(logs) + brevity)


def on_one_topic(replies: Replies, prompts: Sequence[str]) -> tuple[str, list[list[float]]]:
    """The content word that most replies share, and per prompt and sample 1.0 where it stands in the reply, else 0.0.

    A word of the prompt is no topic of hers, so it does not count there; NaN where the word stands in the prompt. The word
    is empty, and all values are 0, where no reply has a content word.
    """
    asked = [content_words(prompt) for prompt in prompts]
    said = [[content_words(reply) - own for reply in samples] for samples, own in zip(replies, asked, strict=True)]
    counts = Counter(word for samples in said for reply in samples for word in reply)
    top = min(counts, key=lambda word: (-counts[word], word), default="")
    rows = [
        [math.nan if top in own else float(top in reply) for reply in samples]
        for samples, own in zip(said, asked, strict=True)
    ]
    return top, rows
