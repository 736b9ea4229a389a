"""What the selection keeps of an exchange is some bytes, not its text. benchmarks/dataset_memory.py measures the whole."""

import random
import tracemalloc
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
from memory_service.exports.dataset import Cut, arrange
from memory_service.exports.deduplication import dissimilar, unrepeated
from memory_service.exports.shortlist import Entry, Shortlist
from memory_service.exports.sketching import SKETCH_BYTES

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
FEW, MANY = 1000, 5000


def entry(number: int, chance: random.Random) -> Entry:
    """One of twenty of a session, like no other."""
    return Entry(
        interaction_id=str(UUID(int=10**9 + number)),
        session_id=str(UUID(int=10**6 + number // 20)),
        position=number % 20,
        occurred_at=NOON + timedelta(minutes=number),
        quality_score=0.9,
        content_hash="00" * 32,
        said=chance.randbytes(16),
        sketch=chance.randbytes(SKETCH_BYTES),
        length=60,
    )


def held_after(count: int) -> tuple[int, int]:
    """Bytes held when all exchanges are on the list, and at most while repetitions and places were found."""
    chance = random.Random(7)
    tracemalloc.start()
    shortlist = Shortlist()
    for number in range(count):
        shortlist.add(entry(number, chance))
    held = tracemalloc.get_traced_memory()[0]
    columns = shortlist.columns()
    assert unrepeated(columns.said, columns.best_first()).all()
    assert dissimilar(columns.sketches, columns.best_first()).all()
    assert sum(1 for _ in arrange(shortlist, np.arange(count), Cut(0.1, 7, 6))) == count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held, peak


def test_an_exchange_takes_a_few_hundred_bytes() -> None:
    held_after(50)  # what is loaded once
    few, many = held_after(FEW), held_after(MANY)
    assert (many[0] - few[0]) / (MANY - FEW) < 300
    assert (many[1] - few[1]) / (MANY - FEW) < 600
