"""Splits, rows, weeks and manifests: determinism to the byte, and the schema both sides test against."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.exports import manifest
from memory_service.exports.formats import Turn, chatml, conversations, jsonl
from memory_service.exports.selection import Stage
from memory_service.exports.splitting import held_out_sessions
from memory_service.exports.weeks import iso_week, week_containing

SCHEMA = json.loads((Path(__file__).parents[4] / "exports/schema/dataset-v1.schema.json").read_text(encoding="utf-8"))
ROW_SCHEMA = {"$schema": SCHEMA["$schema"], "$ref": "#/$defs/row", "$defs": SCHEMA["$defs"]}

_SESSIONS = st.lists(st.uuids().map(str), min_size=0, max_size=60, unique=True)


@given(_SESSIONS, st.floats(0, 0.99), st.integers(0, 1000))
def test_splits_are_deterministic_and_leave_something_to_learn(sessions: list[str], share: float, seed: int) -> None:
    held = held_out_sessions(sessions, share, seed)
    assert held == held_out_sessions(reversed(sessions), share, seed)
    assert held <= set(sessions)
    if len(sessions) >= 2:
        assert len(held) < len(sessions)
        assert bool(held) == (share > 0)


@given(st.lists(st.uuids().map(str), min_size=40, max_size=60, unique=True), st.uuids().map(str))
def test_a_session_stays_on_its_side_when_another_comes(sessions: list[str], newcomer: str) -> None:
    before = held_out_sessions(sessions, 0.3, 7)
    assert held_out_sessions([*sessions, newcomer], 0.3, 7) - {newcomer} == before - {newcomer}


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="held-out share"):
        held_out_sessions(["a", "b"], share, 7)


def turn(session: str, position: int) -> Turn:
    return Turn(f"{session}-{position}", session, "viewer_1", position, f"¿{position}?", f"{position}, mortal.")


@pytest.mark.parametrize(
    ("positions", "max_turns", "rows"),
    [
        ([0, 1, 2], 6, [[0, 1, 2]]),
        ([0, 1, 3, 4], 6, [[0, 1], [3, 4]]),
        ([0, 1, 2, 3, 4], 2, [[0, 1], [2, 3], [4]]),
        ([5], 1, [[5]]),
        ([0, 2, 4], 6, [[0], [2], [4]]),
        ([], 6, []),
    ],
)
def test_only_turns_that_followed_each_other_stay_together(
    positions: list[int], max_turns: int, rows: list[list[int]]
) -> None:
    cut = conversations([turn("a", p) for p in positions], max_turns)
    assert [[t.position for t in row] for row in cut] == rows


def test_sessions_never_mix() -> None:
    cut = conversations([turn("a", 0), turn("a", 1), turn("b", 2)], 6)
    assert [[t.session_id for t in row] for row in cut] == [["a", "a"], ["b"]]


def test_a_conversation_without_turns_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one turn"):
        conversations([turn("a", 0)], 0)


def test_a_row_is_what_the_schema_says() -> None:
    row = chatml([turn("a", 0), turn("a", 1)], "Eres Casiopy.")
    jsonschema.validate(row, ROW_SCHEMA)
    assert [m["role"] for m in json.loads(jsonl([row]))["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
        "assistant",
    ]
    assert jsonl([row]) == jsonl([json.loads(jsonl([row]))])
    assert "¿0?" in jsonl([row]).decode()


@pytest.mark.parametrize(
    ("year", "number", "timezone", "start", "end"),
    [
        (2026, 4, "Europe/Madrid", "2026-01-18T23:00:00Z", "2026-01-25T23:00:00Z"),
        (2026, 1, "UTC", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"),
        (2020, 53, "Europe/Madrid", "2020-12-27T23:00:00Z", "2021-01-03T23:00:00Z"),
        (2026, 13, "Europe/Madrid", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),  # 167 hours: summer time begins
        (2026, 4, "America/Mexico_City", "2026-01-19T06:00:00Z", "2026-01-26T06:00:00Z"),
    ],
)
def test_weeks_in_utc(year: int, number: int, timezone: str, start: str, end: str) -> None:
    week = iso_week(year, number, timezone)
    assert (manifest.utc(week.start), manifest.utc(week.end)) == (start, end)


@given(
    st.integers(31_536_000, 7_258_118_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.sampled_from(["Europe/Madrid", "UTC", "Asia/Tokyo"]),
)
def test_every_moment_lies_in_its_week(moment: datetime, timezone: str) -> None:
    week = iso_week(*week_containing(moment, timezone), timezone)
    assert week.start <= moment < week.end


@pytest.mark.parametrize(
    ("year", "number", "timezone", "message"),
    [(2026, 54, "UTC", "no ISO week 54"), (2025, 53, "UTC", "no ISO week 53"), (2026, 0, "UTC", "no ISO week 0"),
     (2026, 4, "Madrid", "IANA"), (2026, 4, "../etc", "IANA"), (2026, 4, "", "IANA")],
)  # fmt: skip
def test_impossible_weeks_say_what_to_give(year: int, number: int, timezone: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        iso_week(year, number, timezone)


def built(created: datetime, rows: list[Turn]) -> dict[str, object]:
    content = jsonl(chatml(row, "Eres Casiopy.") for row in conversations(rows, 6))
    entry = {"split": "train", "content_hash": "0" * 64, "quality_score": 0.9}
    entries = [{"interaction_id": t.interaction_id, "session_id": t.session_id} | entry for t in rows]
    week = iso_week(2026, 4, "Europe/Madrid")
    filters = {"min_quality": 0.6, "val_share": 0.1, "seed": 7, "max_turns": 6}
    description = manifest.Description(
        "episodic", "chatml", "casiopy", "Casiopy", created, week, filters, "rules-1", "pii-1", "0" * 64,
        [Stage("stored", len(rows), 0, "all")], entries,
    )  # fmt: skip
    return manifest.build(description, manifest.Split("train", 1, content), manifest.Split("val", 0, b""))


def test_the_manifest_fits_its_schema_and_names_its_bytes() -> None:
    one = built(datetime(2026, 2, 1, tzinfo=UTC), [turn("a", 0), turn("a", 1)])
    jsonschema.validate(one, SCHEMA)
    later = built(datetime(2026, 3, 1, tzinfo=UTC), [turn("a", 0), turn("a", 1)])
    assert one | {"created_at": 0} == later | {"created_at": 0}
    assert str(one["export_id"]) == f"episodic-2026-w04-{str(one['dataset_sha256'])[:8]}"
    other = built(datetime(2026, 2, 1, tzinfo=UTC), [turn("a", 0)])
    assert other["dataset_sha256"] != one["dataset_sha256"]


def test_an_empty_core_memory_gives_no_empty_system_message() -> None:
    row = chatml([turn("a", 0)], "")
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]  # type: ignore[attr-defined]
