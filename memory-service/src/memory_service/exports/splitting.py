"""Which sessions are held out. By session, never by row: rows of one conversation on both sides would flatter the model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def held_out_sessions(session_ids: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """The sessions of the val split: about `share` (0 to below 1) of them, chosen by the seed.

    A session's own hash decides, so it stays on its side when other sessions come or go: last week's held-out
    conversation is not this week's lesson. With two sessions or more both sides get at least one (share 0: none held out).
    """
    if not 0 <= share < 1:
        raise ValueError(f"the held-out share must be at least 0 and below 1, got {share}")
    ranked = sorted(set(session_ids), key=lambda session: (_draw(session, seed), session))
    if share == 0 or len(ranked) < 2:
        return frozenset()
    chosen = [session for session in ranked if _draw(session, seed) < share]
    # The hash may leave a side empty when there are few sessions; the nearest session to the line moves over.
    return frozenset(chosen[: len(ranked) - 1] or ranked[:1])


def _draw(session_id: str, seed: int) -> float:
    """A number in [0, 1) that only the session and the seed decide."""
    digest = hashlib.sha256(f"{seed}:{session_id}".encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56
