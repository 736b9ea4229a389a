"""Groups exchanges by theme. Pure (numpy and scikit-learn), and the same input always gives the same groups."""

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from memory_service.topics.keywords import EVERYWHERE, Words

T = TypeVar("T", bound=Hashable)

# Fewer exchanges than this have no themes that would still be there tomorrow.
ENOUGH = 20
# A theme is at least this many exchanges that lie close together; the others belong to none.
_SMALLEST = 5
_SEED = 7
# Rows that differ by less than rounding are one exchange said again and again.
_SAME = 1e-6
# Density is only meaningful in few dimensions: words are first condensed to 50, then words and meaning together to 25.
# Measured on a month of Spanish chat (422 exchanges) with the English default model: 23 groups of 5 to 18 exchanges, 17 of
# them with telling words; 10 and 15 dimensions give 18 and 15 groups. Leaves of the hierarchy, because the default choice
# takes one group of 300 and more at 10 and 15. On the bare vectors the method finds 4 groups, and k-means none that hold
# together (silhouette below .04 for every k from 4 to 36): that model sees little of Spanish, so words must help.
_WORD_DIMENSIONS, _DIMENSIONS = 50, 25

NO_TOPIC = -1


def find_groups(vectors: NDArray[np.float32], words: Sequence[Words]) -> NDArray[np.intp]:
    """The group of each exchange, numbered from 0, or NO_TOPIC: small talk belongs to none.

    Args:
        vectors: one row of length 1 per exchange.
        words: each exchange's content words.
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import normalize

    none = np.full(len(words), NO_TOPIC, dtype=np.intp)
    if len(words) < ENOUGH:
        return none
    # What all exchanges share is the persona's way of talking: the mean is taken out.
    meaning = normalize(vectors - vectors.mean(axis=0))
    both = np.hstack([meaning, _word_space(words)])
    if np.ptp(both, axis=0).max() < _SAME:
        return none
    dimensions = min(_DIMENSIONS, *both.shape)
    condensed = PCA(dimensions, svd_solver="full").fit_transform(both)
    groups: NDArray[np.intp] = HDBSCAN(
        min_cluster_size=_SMALLEST, min_samples=2, cluster_selection_method="leaf", copy=True
    ).fit_predict(condensed)
    return groups


def _word_space(words: Sequence[Words]) -> NDArray[np.float64]:
    """Each exchange's words as a dense row of length 1, rare words weighing more (or 0, without words others use too)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    counts = Counter(word for one in words for word in set(one))
    vocabulary = sorted(word for word, count in counts.items() if 2 <= count <= max(2.0, EVERYWHERE * len(words)))
    if len(vocabulary) < 2:
        return np.zeros((len(words), 1))
    weighted = TfidfVectorizer(analyzer=list, vocabulary=vocabulary, sublinear_tf=True).fit_transform(words)
    dimensions = min(_WORD_DIMENSIONS, len(vocabulary) - 1)
    condensed: NDArray[np.float64] = normalize(TruncatedSVD(dimensions, random_state=_SEED).fit_transform(weighted))
    return condensed


def similarity_to_centre(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine of each row with the mean of all."""
    centre = vectors.mean(axis=0)
    length = float(np.linalg.norm(centre))
    similarity: NDArray[np.float32] = vectors @ centre / length if length else np.zeros(len(vectors), np.float32)
    return np.clip(similarity, -1.0, 1.0)


def recognise(known: Mapping[T, Collection[Hashable]], groups: Sequence[Collection[Hashable]]) -> list[T | None]:
    """Which known topic each group continues: one that shares at least half of their united members, else None.

    No two groups continue the same topic.
    """
    pairs = sorted(
        (
            (len(set(members) & set(group)) / len(set(members) | set(group)), index, number)
            for number, members in enumerate(known.values())
            for index, group in enumerate(groups)
            if members and group
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    names = list(known)
    found: list[T | None] = [None] * len(groups)
    taken: set[int] = set()
    for overlap, index, number in pairs:
        if overlap >= 0.5 and found[index] is None and number not in taken:
            found[index] = names[number]
            taken.add(number)
    return found
