"""Where a memory stands among those with the same subject and key. Pure.

A key's history is a row of validity intervals that never overlap: what is newer ends what is older, and a latecomer that
tells of an earlier time is placed there, already superseded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Version:
    """One stored memory of the key, half open: valid from `valid_from` up to, not including, `valid_to`."""

    id: UUID
    valid_from: datetime
    valid_to: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """The interval of the memory that comes in, and what it changes.

    Attributes:
        superseded_by: the version that follows; None when the memory is the current one.
        ends: the version before it, which it supersedes; None when there is none or it had ended earlier.
        ended_at: when that one ends.
    """

    valid_from: datetime
    valid_to: datetime | None
    superseded_by: UUID | None
    ends: UUID | None
    ended_at: datetime | None


def place(versions: Sequence[Version], valid_from: datetime | None, now: datetime) -> Placement:
    """Where a memory that holds since `valid_from` (None: from now on, after all others) belongs among `versions`."""
    ordered = sorted(versions, key=lambda version: (version.valid_from, version.id))
    since = valid_from or max([now, *(version.valid_from for version in ordered)])
    before = [version for version in ordered if version.valid_from <= since]
    after = [version for version in ordered if version.valid_from > since]
    follower = after[0] if after else None
    ends, ended_at = None, None
    if before and (before[-1].valid_to is None or before[-1].valid_to > since):
        ends = before[-1].id
        expiry = before[-1].expires_at
        ended_at = since if expiry is None or expiry > since else max(expiry, before[-1].valid_from)
    return Placement(
        valid_from=since,
        valid_to=follower.valid_from if follower else None,
        superseded_by=follower.id if follower else None,
        ends=ends,
        ended_at=ended_at,
    )
