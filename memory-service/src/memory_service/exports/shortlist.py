"""What the selection remembers of each exchange it may still keep: some 230 bytes, whatever was said in it. Pure.

A million exchanges fit into a quarter of a gigabyte that way; their texts are read again when they are written.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from memory_service.exports.sketching import SKETCH_BYTES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID, _SAID, _HASH = 16, 16, 32


@dataclass(frozen=True, slots=True)
class Use:
    """One reply of a preference row: `evidence` says which of the exchange's replies stands there, and why."""

    interaction_id: str
    session_id: str
    content_hash: str
    quality_score: float
    evidence: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One exchange (or one judged reply, or pair of them) on the shortlist.

    Attributes:
        position: its place in its session, counted over all exchanges, kept or not.
        said, sketch: as in sketching.py.
        length: of the reply, in characters.
        block: tells the memories it was answered with from others; 0: none.
        uses: of a preference row alone.
    """

    interaction_id: str
    session_id: str
    position: int
    occurred_at: datetime
    quality_score: float
    content_hash: str
    said: bytes
    sketch: bytes
    length: int
    block: int = 0
    uses: tuple[Use, ...] = ()


class Shortlist:
    """Entries, packed into columns; an entry is known by its index."""

    def __init__(self) -> None:
        self._ids, self._said, self._sketches, self._hashes = bytearray(), bytearray(), bytearray(), bytearray()
        self._sessions: dict[bytes, int] = {}
        self._session_ids = bytearray()
        self._session, self._position, self._length = array("I"), array("I"), array("I")
        self._moment, self._score, self._block = array("q"), array("d"), array("Q")
        self._uses: dict[int, tuple[Use, ...]] = {}

    def __len__(self) -> int:
        """How many entries."""
        return len(self._session)

    def add(self, entry: Entry) -> None:
        """Put an entry at the end."""
        if entry.uses:
            self._uses[len(self)] = entry.uses
        session = UUID(entry.session_id).bytes
        number = self._sessions.setdefault(session, len(self._sessions))
        if len(self._sessions) * _ID > len(self._session_ids):
            self._session_ids += session
        self._session.append(number)
        self._ids += UUID(entry.interaction_id).bytes
        self._said += entry.said
        self._sketches += entry.sketch
        self._hashes += bytes.fromhex(entry.content_hash)
        self._position.append(entry.position)
        self._length.append(entry.length)
        self._moment.append((entry.occurred_at - _EPOCH) // timedelta(microseconds=1))
        self._score.append(entry.quality_score)
        self._block.append(entry.block)

    def id(self, index: int) -> str:
        """The exchange."""
        return str(UUID(bytes=bytes(self._ids[index * _ID : (index + 1) * _ID])))

    def session_id(self, index: int) -> str:
        """Its session."""
        return self.session_ids()[self._session[index]]

    def session_ids(self) -> _SessionIds:
        """The sessions by the number that `session` gives them."""
        return _SessionIds(self._session_ids)

    def content_hash(self, index: int) -> bytes:
        """The hash of its texts."""
        return bytes(self._hashes[index * _HASH : (index + 1) * _HASH])

    def score(self, index: int) -> float:
        """Its quality."""
        return self._score[index]

    def uses(self, index: int) -> tuple[Use, ...]:
        """Which replies a preference row is made of."""
        return self._uses.get(index, ())

    def columns(self) -> Columns:
        """The columns as arrays that share the memory; nothing may be added while they are in use."""
        ids = np.frombuffer(self._ids, dtype=">u8").reshape(-1, 2)
        return Columns(
            session=np.frombuffer(self._session, dtype=np.uint32),
            position=np.frombuffer(self._position, dtype=np.uint32),
            length=np.frombuffer(self._length, dtype=np.uint32),
            moment=np.frombuffer(self._moment, dtype=np.int64),
            score=np.frombuffer(self._score, dtype=np.float64),
            block=np.frombuffer(self._block, dtype=np.uint64),
            id_high=ids[:, 0],
            id_low=ids[:, 1],
            said=np.frombuffer(self._said, dtype=">u8").reshape(-1, 2),
            sketches=np.frombuffer(self._sketches, dtype=np.uint8).reshape(-1, SKETCH_BYTES),
        )


class _SessionIds:
    """Sessions' ids by number."""

    def __init__(self, packed: bytearray) -> None:
        self._packed = packed

    def __getitem__(self, number: int) -> str:
        return str(UUID(bytes=bytes(self._packed[number * _ID : (number + 1) * _ID])))


@dataclass(frozen=True, slots=True)
class Columns:
    """The shortlist by column; index i is the same entry in all of them."""

    session: NDArray[np.uint32]
    position: NDArray[np.uint32]
    length: NDArray[np.uint32]
    moment: NDArray[np.int64]
    score: NDArray[np.float64]
    block: NDArray[np.uint64]
    id_high: NDArray[np.uint64]
    id_low: NDArray[np.uint64]
    said: NDArray[np.uint64]
    sketches: NDArray[np.uint8]

    def in_time(self) -> NDArray[np.intp]:
        """Indexes from the oldest to the newest. Entries of one exchange keep the order they came in."""
        return np.lexsort((self.id_low, self.id_high, self.moment))

    def best_first(self) -> NDArray[np.intp]:
        """Indexes from the best to the worst; of equally good ones the older first."""
        return np.lexsort((self.id_low, self.id_high, self.moment, -self.score))
