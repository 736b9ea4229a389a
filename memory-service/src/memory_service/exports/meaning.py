"""Semantic deduplication: of exchanges that mean the same, a few stay. The stored vectors tell what means the same.

SemDeDup (Abbas et al. 2023, arXiv 2303.09540): k-means first, so that only vectors of one cluster are compared. The vectors
are read block by block; all of them together are never in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_service.exports.deduplication import groups, thinned
from memory_service.exports.selection import Selection

Vectors = Callable[[Sequence[str]], Awaitable[Mapping[str, NDArray[np.float32]]]]

# Cosine from which two exchanges mean the same. Measured with the default model: of the 45,150 pairs in the 301 good exchanges
# of the sample month none reaches 0.842, and of eight exchanges said in other words seven do reach 0.86 (0.837 to 0.938), while
# their letters are only 0.21 to 0.44 alike.
SAME_MEANING = 0.86
# How many of one meaning stay: a short, a middling and a long one. Even at 0.8 no group of the sample month is larger than 3.
PER_GROUP = 3
# Vectors compared with each other at a time: up to here all of them, and beyond, k-means makes blocks of about _USUAL.
_BLOCK, _USUAL = 4096, 1024
# What k-means learns its centres from.
_SAMPLE = 20_000
_SEED = 7


async def thin_out(selection: Selection, vectors: Vectors) -> None:
    """Keep at most PER_GROUP of each group that means the same; exchanges without a vector stay, and are counted."""
    kept = selection.kept
    group = -np.arange(1, len(kept) + 1)  # an exchange without a vector is a group of its own
    with_vector = 0
    async for block in _blocks(selection, vectors):
        places, found = await _read(selection, block, vectors)
        with_vector += len(places)
        if len(places):
            group[places] = places[await asyncio.to_thread(groups, found, SAME_MEANING)]
    length = selection.shortlist.columns().length[kept]
    stays = np.zeros(len(selection.shortlist), dtype=bool)
    stays[kept] = thinned(group, length, selection.best_first(), PER_GROUP)
    without = len(kept) - with_vector
    why = f"means the same (cosine {SAME_MEANING:g} or more) as {PER_GROUP} others that stay, of different lengths"
    selection.narrow("semantic_duplicates", stays, f"{why}; {without} without a vector passed" if without else why)


async def _read(
    selection: Selection, places: NDArray[np.intp], vectors: Vectors
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Those of `places` (in `kept`) that have a vector, and their vectors as rows."""
    ids = [selection.shortlist.id(int(index)) for index in selection.kept[places]]
    found = await vectors(ids)
    there = np.array([one in found for one in ids], dtype=bool)
    rows = [found[one] for one in ids if one in found]
    return places[there], np.array(rows, dtype=np.float32)


async def _blocks(selection: Selection, vectors: Vectors) -> AsyncIterator[NDArray[np.intp]]:
    """Places in `kept` whose vectors are compared with each other, each block in time."""
    columns = selection.shortlist.columns()
    order = np.lexsort(tuple(column[selection.kept] for column in (columns.id_low, columns.id_high, columns.moment)))
    if len(order) <= _BLOCK:
        yield order
        return
    centres = await _centres(selection, order, vectors)
    if centres is None:
        return
    nearest = np.full(len(order), -1, dtype=np.int32)
    for piece in _pieces(order):
        places, found = await _read(selection, piece, vectors)
        if len(places):
            nearest[places] = (found @ centres.T).argmax(axis=1)
    for number in range(len(centres)):
        for piece in _pieces(order[nearest[order] == number]):
            yield piece


async def _centres(selection: Selection, order: NDArray[np.intp], vectors: Vectors) -> NDArray[np.float32] | None:
    """Centres of length 1; None where hardly anything has a vector."""
    sampled = order[np.linspace(0, len(order) - 1, min(_SAMPLE, len(order)), dtype=np.intp)]
    read = [await _read(selection, piece, vectors) for piece in _pieces(sampled)]
    rows = [found for places, found in read if len(places)]
    if not rows:
        return None
    return await asyncio.to_thread(_learned_centres, np.concatenate(rows), -(-len(order) // _USUAL))


def _learned_centres(sample: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    from sklearn.cluster import MiniBatchKMeans

    kmeans: Any = MiniBatchKMeans(min(count, len(sample)), random_state=_SEED, n_init=1, batch_size=1024, max_iter=10)
    centres: NDArray[np.float32] = kmeans.fit(sample).cluster_centers_.astype(np.float32)
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.asarray(centres / lengths, dtype=np.float32)


def _pieces(places: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    return (places[start : start + _BLOCK] for start in range(0, len(places), _BLOCK))
