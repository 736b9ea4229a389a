"""Who wrote this? A character n-gram classifier between her voice and the base model's.

Her voice: the battery's references and, where the dataset is at hand, her training replies. The other voice: what the base
model replies to the same probes, or neutral replies where there is no base model to ask. A reply's score is the classifier's
log-odds: above 0 it sounds like her, below 0 like anybody's chat model.

A classifier that has seen a probe's references would recognise the topic, not the voice, so the probes are dealt into folds
and each is scored by the classifier that never saw its references or its base replies. Dialogues share no probe, so their
turns are scored by one that saw all.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from persona_training.evaluation.battery import Probe

FOLDS = 4
MAX_TRAINING_REPLIES = 400  # more changes no verdict on the shipped sample and costs a second per 1,000
CHARS = (2, 5)  # authorship work on short posts settles on 2-5 characters; words alone are too few in 5-45 word replies
HASHES = 2**18  # 2,700 replies hold 51,000 different n-grams
SEEN_IN = 2  # replies an n-gram has to occur in to count

Scores = NDArray[np.float64]
Replies = Sequence[Sequence[str]]


class Style:
    """The classifiers of one examination, each fitted when it is first asked."""

    def __init__(
        self, probes: Sequence[Probe], *, floor: Replies | None, neutral: Sequence[str], training_replies: Sequence[str]
    ) -> None:
        """Get ready to tell her from the base model.

        Args:
            probes: the probes asked, in the order of all replies.
            floor: the base model's replies, probes x samples; None uses `neutral` and the probes' neutral replies instead.
            neutral: what anybody's chat model says.
            training_replies: her replies from the dataset; at most 400 are used, evenly spaced.
        """
        self._probes = probes
        self._floor = floor
        self._neutral = neutral
        self._own = _thin(training_replies)

    def held_out(self, replies: Replies) -> Scores:
        """Log-odds (nats) of replies to the probes, probes x samples, by classifiers that have not seen the probe at hand."""
        scores = np.full((len(replies), len(replies[0])), np.nan)
        for fold, classifier in enumerate(self._folds):
            inside = range(fold, len(replies), FOLDS)
            flat = classifier.log_odds([reply for i in inside for reply in replies[i]])
            scores[list(inside)] = flat.reshape(len(inside), -1)
        return scores

    def of_any(self, texts: Sequence[str]) -> Scores:
        """Log-odds (nats) of texts that answer none of the probes."""
        return self._whole.log_odds(texts)

    @cached_property
    def _folds(self) -> list[_Classifier]:
        folds = range(min(FOLDS, len(self._probes)))
        everything = list(range(len(self._probes)))
        return [self._fit([i for i in everything if i % FOLDS != fold] or everything) for fold in folds]

    @cached_property
    def _whole(self) -> _Classifier:
        return self._fit(list(range(len(self._probes))))

    def _fit(self, chosen: Sequence[int]) -> _Classifier:
        hers = [text for i in chosen for text in self._probes[i].references] + self._own
        if self._floor is not None:
            others = [text for i in chosen for text in self._floor[i]]
        else:
            others = [*self._neutral, *(self._probes[i].neutral for i in chosen if self._probes[i].neutral)]
        return _Classifier(hers, others)


class _Classifier:
    """TF-IDF of hashed characters into a balanced logistic regression."""

    def __init__(self, hers: Sequence[str], others: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        self._count = HashingVectorizer(
            analyzer="char_wb", ngram_range=CHARS, n_features=HASHES, alternate_sign=False, norm=None
        )
        counts = self._count.transform([*hers, *others])
        self._columns = np.flatnonzero(np.bincount(counts.indices, minlength=HASHES) >= SEEN_IN)
        self._pipeline = make_pipeline(
            TfidfTransformer(sublinear_tf=True),
            LogisticRegression(C=10.0, class_weight="balanced", max_iter=300),
        )
        self._pipeline.fit(counts[:, self._columns], [1] * len(hers) + [0] * len(others))

    def log_odds(self, replies: Sequence[str]) -> Scores:
        if not replies:
            return np.empty(0)
        counts = self._count.transform(list(replies))[:, self._columns]
        return np.asarray(self._pipeline.decision_function(counts), dtype=np.float64)


def _thin(replies: Sequence[str]) -> list[str]:
    if len(replies) <= MAX_TRAINING_REPLIES:
        return list(replies)
    return [replies[int(i)] for i in np.linspace(0, len(replies) - 1, MAX_TRAINING_REPLIES)]
