"""Who wrote this? A character n-gram classifier between her voice and the base model's.

Her voice: the battery's references and, where the dataset is at hand, her training replies. The other voice: what the base
model replies to the same probes, or the battery's neutral replies where there is no base model to ask. A reply's score is
the classifier's log-odds: above 0 it sounds like her, below 0 like anybody's chat model.

A classifier that has seen a probe's references would recognise the topic, not the voice, so the probes are dealt into folds
and each is scored by the classifier that never saw its references or its base replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from persona_training.evaluation.battery import Probe

FOLDS = 4
MAX_TRAINING_REPLIES = 400  # more changes no verdict on the shipped sample and costs a second per 1,000
CHARS = (2, 5)  # authorship work on short posts settles on 2-5 characters; words alone are too few in 5-45 word replies


@dataclass(frozen=True)
class StyleScores:
    """Log-odds (nats) of each reply, prompts x samples; `ceiling` is the mean of the held-out references."""

    of: dict[str, NDArray[np.float64]]
    ceiling: float


def score_styles(
    probes: Sequence[Probe],
    drawn: dict[str, Sequence[Sequence[str]]],
    *,
    floor: Sequence[Sequence[str]] | None,
    neutral: Sequence[str],
    training_replies: Sequence[str] = (),
) -> StyleScores:
    """Score every model's replies with classifiers that have not seen the probe at hand.

    Args:
        probes: the probes asked, in the order of all reply lists.
        drawn: replies per model name, prompts x samples.
        floor: the base model's replies; None uses `neutral` as the other voice.
        neutral: what anybody's chat model says.
        training_replies: her replies from the dataset; at most 400 are used, evenly spaced.
    """
    shape = (len(probes), len(next(iter(drawn.values()))[0]))
    scores = {name: np.full(shape, np.nan) for name in drawn}
    ceilings: list[float] = []
    own_voice = _thin(training_replies)
    for fold in range(min(FOLDS, len(probes))):
        inside = [i for i in range(len(probes)) if i % FOLDS == fold]
        outside = [i for i in range(len(probes)) if i % FOLDS != fold] or inside
        hers = [text for i in outside for text in probes[i].references] + own_voice
        others = [text for i in outside for text in floor[i]] if floor is not None else list(neutral)
        classifier = _fit(hers, others)
        for name, replies in drawn.items():
            for i in inside:
                scores[name][i] = classifier.log_odds(replies[i])
        ceilings += [float(x) for i in inside for x in classifier.log_odds(probes[i].references)]
    return StyleScores(of=scores, ceiling=float(np.mean(ceilings)))


class _Classifier:
    """TF-IDF of characters into a balanced logistic regression."""

    def __init__(self) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        self._pipeline = make_pipeline(
            TfidfVectorizer(analyzer="char_wb", ngram_range=CHARS, sublinear_tf=True, min_df=2, max_features=30_000),
            LogisticRegression(C=10.0, class_weight="balanced", max_iter=300),
        )

    def fit(self, hers: Sequence[str], others: Sequence[str]) -> None:
        self._pipeline.fit([*hers, *others], [1] * len(hers) + [0] * len(others))

    def log_odds(self, replies: Sequence[str]) -> NDArray[np.float64]:
        return np.asarray(self._pipeline.decision_function(list(replies)), dtype=np.float64)


def _fit(hers: Sequence[str], others: Sequence[str]) -> _Classifier:
    classifier = _Classifier()
    classifier.fit(hers, others)
    return classifier


def _thin(replies: Sequence[str]) -> list[str]:
    if len(replies) <= MAX_TRAINING_REPLIES:
        return list(replies)
    return [replies[int(i)] for i in np.linspace(0, len(replies) - 1, MAX_TRAINING_REPLIES)]
