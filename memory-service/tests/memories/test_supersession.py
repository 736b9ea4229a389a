"""Where a memory stands in its key's history."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from memory_service.memories.supersession import Placement, Version, place

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return NOW + timedelta(days=number)


def history_of(arrivals: list[tuple[int | None, int | None]]) -> dict[UUID, tuple[Version, UUID | None]]:
    """What is stored after memories came in one by one: (valid from day …, expires on day …), None: now, never."""
    stored: dict[UUID, tuple[Version, UUID | None]] = {}
    for number, (since, expiry) in enumerate(arrivals):
        now = day(100 + number)
        found = place([version for version, _ in stored.values()], None if since is None else day(since), now)
        identity = UUID(int=number)
        if found.ends is not None:
            old = stored[found.ends][0]
            ended = Version(old.id, old.valid_from, found.ended_at, old.expires_at)
            stored[found.ends] = (ended, identity)
        expires_at = None if expiry is None else day(expiry)
        stored[identity] = (Version(identity, found.valid_from, found.valid_to, expires_at), found.superseded_by)
    return stored


def test_the_first_is_current() -> None:
    assert place([], None, NOW) == Placement(NOW, None, None, None, None)


def test_the_newer_ends_the_older() -> None:
    old = Version(UUID(int=1), day(-5))
    assert place([old], None, NOW) == Placement(NOW, None, None, old.id, NOW)


def test_a_latecomer_is_born_superseded() -> None:
    current = Version(UUID(int=1), day(-5))
    assert place([current], day(-9), NOW) == Placement(day(-9), day(-5), current.id, None, None)


def test_a_latecomer_between_two_ends_the_one_before_it() -> None:
    first, second = Version(UUID(int=1), day(-9), day(-5)), Version(UUID(int=2), day(-5))
    assert place([second, first], day(-7), NOW) == Placement(day(-7), day(-5), second.id, first.id, day(-7))


def test_what_expired_ends_when_it_expired() -> None:
    old = Version(UUID(int=1), day(-5), None, day(-3))
    assert place([old], None, NOW).ended_at == day(-3)


def test_what_was_retired_keeps_its_end() -> None:
    retired = Version(UUID(int=1), day(-5), day(-4))
    assert place([retired], None, NOW) == Placement(NOW, None, None, None, None)


def test_a_clock_that_runs_behind_does_not_make_the_newest_write_old() -> None:
    ahead = Version(UUID(int=1), day(1))
    assert place([ahead], None, NOW).valid_to is None


@given(st.lists(st.tuples(st.none() | st.integers(-50, 50), st.none() | st.integers(-60, 300)), min_size=1, max_size=9))
def test_a_history_never_overlaps_and_has_one_current_memory(arrivals: list[tuple[int | None, int | None]]) -> None:
    versions = sorted(
        (version for version, _ in history_of(arrivals).values()), key=lambda one: (one.valid_from, one.id)
    )
    assert [version.valid_to for version in versions].count(None) == 1
    for version, following in pairwise(versions):
        assert version.valid_to is not None
        assert version.valid_from <= version.valid_to <= following.valid_from
    successors = history_of(arrivals)
    for version, successor in successors.values():
        assert (successor is None) == (version.valid_to is None)
        assert successor is None or successors[successor][0].valid_from >= version.valid_from
