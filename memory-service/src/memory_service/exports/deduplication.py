"""What teaches the same thing twice: the same words, nearly the same words, the same meaning. Pure (numpy)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from memory_service.exports.sketching import SKETCH_BYTES

# Two exchanges this alike (input and reply, by 5-letter grams) teach the same thing. At 0.8 a changed name or a dropped
# accent still counts as the same; at 0.9 those passed, at 0.7 different answers to one question were lost.
NEAR_DUPLICATE = 0.8
# Who shares 6 neighbouring values with somebody is compared: 998 of 1,000 pairs that are 0.8 alike share such a band, and of
# pairs that are as alike as any two replies of one persona (0.15, its catchphrases) 2 of 10,000.
_BAND, _BANDS = 6, SKETCH_BYTES // 6
# Two unlike values agree in their lowest 8 bits this often.
_BY_CHANCE = 1 / 256

Mask = NDArray[np.bool_]
Indexes = NDArray[np.intp]


def unrepeated(said: NDArray[np.uint64], best_first: Indexes) -> Mask:
    """Which entries stay when of those that say the same words only the best does. `said`: two columns."""
    ranked = said[best_first]
    order = np.lexsort((np.arange(len(ranked)), ranked[:, 1], ranked[:, 0]))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (ranked[order[1:]] != ranked[order[:-1]]).any(axis=1)
    kept = np.zeros(len(said), dtype=bool)
    kept[best_first[order[first]]] = True
    return kept


def alike(one: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The estimated Jaccard similarity of a sketch with each of `others`; off by 0.035 in two of three cases."""
    shares = (others == one).mean(axis=1)
    return np.asarray((shares - _BY_CHANCE) / (1 - _BY_CHANCE))


def dissimilar(sketches: NDArray[np.uint8], best_first: Indexes) -> Mask:
    """Which entries stay when of nearly equal ones only the best does: greedy from the best down."""
    bands = _shared_bands(sketches)
    kept = np.ones(len(sketches), dtype=bool)
    in_band: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in map(int, best_first):
        mine = bands.get(index)
        if mine is None:
            continue
        nearby = sorted({other for band in mine for other in in_band[band]})
        if nearby and bool((alike(sketches[index], sketches[nearby]) >= NEAR_DUPLICATE).any()):
            kept[index] = False
            continue
        for band in mine:
            in_band[band].append(index)
    return kept


def _shared_bands(sketches: NDArray[np.uint8]) -> dict[int, list[tuple[int, int]]]:
    """The bands that an entry has in common with others; most entries have none and are not in it."""
    shared: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number in range(_BANDS):
        keys = np.zeros((len(sketches), 8), dtype=np.uint8)
        keys[:, :_BAND] = sketches[:, number * _BAND : (number + 1) * _BAND]
        _, group, size = np.unique(keys.view(np.uint64).ravel(), return_inverse=True, return_counts=True)
        for index in np.flatnonzero(size[group] > 1):
            shared[int(index)].append((number, int(group[index])))
    return shared


def groups(vectors: NDArray[np.float32], threshold: float) -> Indexes:
    """The group of each vector (length 1 each): that of the first one whose cosine with it is at least `threshold`.

    Every member is that near to the one who began the group, so that chains of neighbours do not become one group.
    """
    found = np.full(len(vectors), -1, dtype=np.intp)
    for index in range(len(vectors)):
        if found[index] < 0:
            near = vectors[index:] @ vectors[index] >= threshold
            near[0] = True
            found[index:][near & (found[index:] < 0)] = index
    return found


def thinned(group: Indexes, length: NDArray[np.uint32], best_first: Indexes, cap: int) -> Mask:
    """Which entries stay when a group keeps at most `cap`.

    A crowded group is cut into `cap` layers by reply length, and the best of each layer stays: choosing by quality alone
    would keep the long ones, and length would become the persona.
    """
    rank = np.empty(len(group), dtype=np.intp)
    rank[best_first] = np.arange(len(best_first))
    kept = np.ones(len(group), dtype=bool)
    for members in _crowded(group, cap):
        by_length = members[np.lexsort((rank[members], length[members]))]
        kept[members] = False
        for layer in np.array_split(by_length, cap):
            kept[layer[np.argmin(rank[layer])]] = True
    return kept


def _crowded(group: Indexes, cap: int) -> Iterator[Indexes]:
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members) > cap:
            yield members
