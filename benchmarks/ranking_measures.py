"""How good a ranking is, question by question, and how sure an average of questions is. Pure: no text, no network.

The intervals are percentile bootstraps (Efron & Tibshirani 1993, ch. 13), questions redrawn within their conversation.
Questions about one conversation resemble each other, so a second interval redraws the conversations as well: the first says
how sure the average is for these conversations, the second, wider one what other conversations might have given.
"""

import math
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PLACES = (5, 10, 20)
NDCG_PLACE = 10
MEASURES = (
    *(f"{name}@{place}" for place in PLACES for name in ("recall", "any", "all")),
    f"mrr@{max(PLACES)}",
    f"ndcg@{NDCG_PLACE}",
)
REDRAWN, SEED, SHARE = 2000, 20, 0.95

Floats = NDArray[np.float64]


def judge(found: Sequence[Hashable], evidence: Set[Hashable]) -> dict[str, float]:
    """The measures of one question, each in [0, 1].

    Args:
        found: what was given, best first; what comes again takes no second place. Beyond the twentieth nothing counts.
        evidence: what should have been found, at least one.

    Raises:
        ValueError: no evidence: nothing could be found, and no measure has a value.
    """
    if not evidence:
        raise ValueError("a question without evidence cannot be judged")
    places = list(dict.fromkeys(found))[: max(PLACES)]
    measures: dict[str, float] = {}
    for place in PLACES:
        inside = len(evidence & set(places[:place]))
        measures[f"recall@{place}"] = inside / len(evidence)
        measures[f"any@{place}"] = float(inside > 0)
        measures[f"all@{place}"] = float(inside == len(evidence))
    ranks = [rank for rank, one in enumerate(places, 1) if one in evidence]
    measures[f"mrr@{max(PLACES)}"] = 1 / ranks[0] if ranks else 0.0
    gained = sum(1 / math.log2(rank + 1) for rank in ranks if rank <= NDCG_PLACE)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(evidence), NDCG_PLACE) + 1))
    measures[f"ndcg@{NDCG_PLACE}"] = gained / best
    return measures


@dataclass(frozen=True, slots=True)
class Sample:
    """Judged questions: a row of `values` for each, a column for each of MEASURES; each row's conversation and category."""

    values: Floats
    conversations: tuple[str, ...]
    categories: tuple[str, ...]

    @classmethod
    def of(
        cls, judged: Sequence[Mapping[str, float]], conversations: Sequence[str], categories: Sequence[str]
    ) -> "Sample":
        """The questions in the order given."""
        values = np.array([[one[name] for name in MEASURES] for one in judged], dtype=np.float64)
        return cls(values.reshape(len(judged), len(MEASURES)), tuple(conversations), tuple(categories))

    def of_category(self, category: str) -> "Sample":
        """Its questions alone."""
        rows = [row for row, one in enumerate(self.categories) if one == category]
        return Sample(self.values[rows], tuple(self.conversations[row] for row in rows), (category,) * len(rows))

    def minus(self, other: "Sample") -> "Sample":
        """Question by question, what this ranking finds more than the other of the same questions."""
        if (self.conversations, self.categories) != (other.conversations, other.categories):
            raise ValueError("the two samples are of different questions")
        return Sample(self.values - other.values, self.conversations, self.categories)


def redrawn_means(sample: Sample, *, conversations_too: bool, times: int = REDRAWN, seed: int = SEED) -> Floats:
    """Averages of redrawn questions, shape (times, measures); questions are redrawn within their conversation."""
    chance = np.random.default_rng(seed)
    names = sorted(set(sample.conversations))
    drawn = np.ones((times, len(names)), dtype=np.int64)
    if conversations_too:
        drawn = chance.multinomial(len(names), np.full(len(names), 1 / len(names)), size=times)
    total, asked = np.zeros((times, sample.values.shape[1])), np.zeros((times, 1))
    for column, name in enumerate(names):
        rows = [row for row, one in enumerate(sample.conversations) if one == name]
        weights = chance.multinomial(drawn[:, column] * len(rows), np.full(len(rows), 1 / len(rows)))
        total += weights @ sample.values[rows]
        asked += weights.sum(axis=1, keepdims=True)
    means: Floats = total / asked
    return means


def summary(sample: Sample) -> dict[str, Any]:
    """The average of each measure with both intervals, and the number of questions.

    Of a single conversation nothing can be said about others: its `interval_conversations` is None.
    """
    means = sample.values.mean(axis=0)
    questions = _ends(sample, conversations_too=False)
    clusters = _ends(sample, conversations_too=True) if len(set(sample.conversations)) > 1 else [None] * len(MEASURES)
    measures = {
        name: {"mean": round(float(mean), 4), "interval": within, "interval_conversations": among}
        for name, mean, within, among in zip(MEASURES, means, questions, clusters, strict=True)
    }
    return {"questions": len(sample.values)} | measures


def _ends(sample: Sample, *, conversations_too: bool) -> list[list[float]]:
    """Both ends of each measure's interval."""
    tails = ((1 - SHARE) / 2, (1 + SHARE) / 2)
    ends = np.quantile(redrawn_means(sample, conversations_too=conversations_too), tails, axis=0).T
    return [[round(float(end), 4) for end in one] for one in ends]


def by_category(sample: Sample) -> dict[str, dict[str, Any]]:
    """The summary over all questions, then of each category."""
    return {"all": summary(sample)} | {one: summary(sample.of_category(one)) for one in sorted(set(sample.categories))}
