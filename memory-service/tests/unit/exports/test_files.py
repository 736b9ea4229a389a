"""Splits, rows, weeks and manifests: determinism to the byte, and the schema both sides test against."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.exports import manifest
from memory_service.exports.dataset import Cut, Place, arrange
from memory_service.exports.formats import (
    CONVERSATIONS,
    Conversation,
    Row,
    Turn,
    alpaca,
    chatml,
    dpo,
    jsonl,
    kto,
    sharegpt,
)
from memory_service.exports.recalled import fingerprint, tellable, untraceable
from memory_service.exports.selection import Stage
from memory_service.exports.service import whole_lines
from memory_service.exports.shortlist import Entry, Shortlist, Use
from memory_service.exports.sketching import SKETCH_BYTES
from memory_service.exports.splitting import held_out_sessions
from memory_service.exports.weeks import iso_week, week_containing

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
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


def entry(session: int, position: int, **changes: object) -> Entry:
    values: dict[str, object] = {
        "interaction_id": str(UUID(int=session * 1000 + position)),
        "session_id": str(UUID(int=session)),
        "position": position,
        "occurred_at": NOON + timedelta(days=session, minutes=position),
        "quality_score": 0.9,
        "content_hash": "ab" * 32,
        "said": bytes(16),
        "sketch": bytes(SKETCH_BYTES),
        "length": 10,
    }
    return Entry(**(values | changes))  # type: ignore[arg-type]


def arranged(*entries: Entry, **cut: object) -> list[Place]:
    shortlist = Shortlist()
    for one in entries:
        shortlist.add(one)
    wanted = Cut(**({"val_share": 0.0, "seed": 7, "max_turns": 6} | cut))  # type: ignore[arg-type]
    return list(arrange(shortlist, np.arange(len(shortlist)), wanted))


def rows_of(places: list[Place]) -> list[list[int]]:
    """The interactions of each line, as the numbers their ids were made of."""
    rows: dict[tuple[str, int], list[int]] = {}
    for place in places:
        rows.setdefault((place.split, place.row_number), []).append(UUID(place.interaction_id).int)
    return list(rows.values())


@pytest.mark.parametrize(
    ("positions", "max_turns", "rows"),
    [
        ([0, 1, 2], 6, [[0, 1, 2]]),
        ([0, 1, 3, 4], 6, [[0, 1], [3, 4]]),
        ([0, 1, 2, 3, 4], 2, [[0, 1], [2, 3], [4]]),
        ([5], 1, [[5]]),
        ([4, 0, 2], 6, [[0], [2], [4]]),
    ],
)
def test_only_turns_that_followed_each_other_stay_together(
    positions: list[int], max_turns: int, rows: list[list[int]]
) -> None:
    assert rows_of(arranged(*(entry(0, p) for p in positions), max_turns=max_turns)) == rows


def test_turns_answered_with_other_memories_are_another_row() -> None:
    entries = [entry(0, p, block=block) for p, block in enumerate([0, 7, 7, 8])]
    assert rows_of(arranged(*entries)) == [[0], [1, 2], [3]]


def test_sessions_never_mix_and_stand_in_the_order_they_began() -> None:
    early = {"occurred_at": NOON}
    assert rows_of(arranged(entry(1, 0), entry(1, 1), entry(2, 2, **early))) == [[2002], [1000, 1001]]


def test_a_conversation_without_turns_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one turn"):
        arranged(entry(1, 0), max_turns=0)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=30, unique=True), st.integers(0, 50))
def test_whole_sessions_are_held_out(sessions: list[int], seed: int) -> None:
    places = arranged(*(entry(s, p) for s in sessions for p in range(3)), val_share=0.4, seed=seed)
    sides = {split: {p.session_id for p in places if p.split == split} for split in ("train", "val")}
    assert not sides["train"] & sides["val"]
    assert sides["val"]
    for split in sides:
        numbers = [p.row_number for p in places if p.split == split]
        assert sorted(set(numbers)) == list(range(len(set(numbers))))


@given(st.integers(0, 200))
def test_sessions_that_share_a_row_are_on_one_side(seed: int) -> None:
    entries = [entry(s, 0) for s in range(8)]
    links = [(str(UUID(int=one)), str(UUID(int=one + 1))) for one in (0, 1, 2)]
    places = arranged(*entries, val_share=0.5, seed=seed, max_turns=1, links=links)
    assert len({p.split for p in places if UUID(p.session_id).int <= 3}) == 1


def test_a_preference_row_stands_where_its_uses_say() -> None:
    both = ((5, "chosen"), (6, "rejected"))
    session = str(UUID(int=1))
    uses = tuple(Use(str(UUID(int=n)), session, "cd" * 32, 0.5, evidence) for n, evidence in both)
    places = arranged(entry(1, 0, uses=uses), entry(1, 0), max_turns=1)
    assert [(p.row_number, p.place, p.evidence) for p in places] == [(0, 0, "chosen"), (0, 1, "rejected"), (1, 0, None)]
    assert [UUID(p.interaction_id).int for p in places[:2]] == [5, 6]
    assert list(whole_lines(iter(places), 1)) == [places[:2], places[2:]]


def turn(number: int) -> Turn:
    return Turn(f"i{number}", "s", "viewer_1", f"¿{number}?", f"{number}, mortal.")


TWO = [turn(0), turn(1)]


@pytest.mark.parametrize("system", ["Eres Casiopy.", ""])
@pytest.mark.parametrize(
    "row",
    [
        *(lambda system, write=write: write(Conversation(system, TWO)) for write in CONVERSATIONS.values()),
        lambda system: dpo(system, *TWO),
        lambda system: dpo(system, TWO[0], TWO[0]),
        lambda system: kto(system, TWO[0], good=False),
    ],
)
def test_a_row_is_what_the_schema_says(row: Callable[[str], Row], system: str) -> None:
    written = jsonl([row(system)])
    jsonschema.validate(json.loads(written), ROW_SCHEMA)
    assert "¿0?" in written.decode()
    assert jsonl([json.loads(written)]) == written


def test_rows_in_every_format() -> None:
    row = Conversation("Eres Casiopy.", TWO)
    said = ["Eres Casiopy.", "¿0?", "0, mortal.", "¿1?", "1, mortal."]
    roles = ["system", "user", "assistant", "user", "assistant"]
    assert chatml(row)["messages"] == [{"role": r, "content": c} for r, c in zip(roles, said, strict=True)]
    names = ["system", "human", "gpt", "human", "gpt"]
    assert sharegpt(row)["conversations"] == [{"from": n, "value": c} for n, c in zip(names, said, strict=True)]
    assert {key: value for key, value in alpaca(row).items() if key != "metadata"} == {
        "instruction": "¿1?",
        "input": "",
        "output": "1, mortal.",
        "system": "Eres Casiopy.",
        "history": [["¿0?", "0, mortal."]],
    }
    assert dpo("", *TWO) == {
        "prompt": [{"role": "user", "content": "¿0?"}],
        "chosen": [{"role": "assistant", "content": "0, mortal."}],
        "rejected": [{"role": "assistant", "content": "1, mortal."}],
        "metadata": {"session_id": "s", "interaction_ids": ["i0", "i1"], "viewer": "viewer_1"},
    }


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


def built(created: datetime, *files: tuple[str, bytes]) -> dict[str, object]:
    digest = manifest.Digest()
    for split, line in files:
        digest.add(split, line)
    filters = {"min_quality": 0.6, "val_share": 0.1, "seed": 7, "max_turns": 6}
    description = manifest.Description(
        "episodic", "chatml", None, "casiopy", "Casiopy", created, iso_week(2026, 4, "Europe/Madrid"), filters, "rules-1",
        "pii-1", "0" * 64, [Stage("stored", 2, 0, "all")], 2, {"redacted": {"email": 1}},
    )  # fmt: skip
    return manifest.build(description, digest)


def whole(head: dict[str, object], places: list[Place]) -> dict[str, object]:
    """The manifest as it is handed out, in pieces of one row."""
    pieces = [manifest.opening(head)]
    pieces += [b"".join(manifest.rows([place], first=number == 0)) for number, place in enumerate(places)]
    found: dict[str, object] = json.loads(b"".join([*pieces, manifest.CLOSING]))
    return found


def test_the_manifest_fits_its_schema_and_names_its_bytes() -> None:
    files = (("train", b"one\n"), ("train", b"two\n"), ("val", b"three\n"))
    one = built(datetime(2026, 2, 1, tzinfo=UTC), *files)
    places = arranged(entry(1, 0), entry(1, 1))
    jsonschema.validate(whole(one, places), SCHEMA)
    assert whole(one, places)["rows"] == [manifest.entry(place) for place in places]
    later = built(datetime(2026, 3, 1, tzinfo=UTC), *files)
    assert one | {"created_at": 0} == later | {"created_at": 0}
    assert one["dataset_sha256"] == hashlib.sha256(b"one\ntwo\nthree\n").hexdigest()
    assert one["splits"]["val"] == {  # type: ignore[index]
        "file": "val.jsonl", "rows": 1, "bytes": 6, "sha256": hashlib.sha256(b"three\n").hexdigest(),
    }  # fmt: skip
    assert re.fullmatch(r"episodic-2026-w04-[0-9a-f]{8}", str(one["export_id"]))
    assert built(datetime(2026, 2, 1, tzinfo=UTC), files[0])["dataset_sha256"] != one["dataset_sha256"]


def test_the_same_rows_held_out_differently_are_another_dataset() -> None:
    made = datetime(2026, 2, 1, tzinfo=UTC)
    held_out = built(made, ("train", b"one\n"), ("val", b"two\n"))
    learned = built(made, ("train", b"one\n"), ("train", b"two\n"))
    assert held_out["dataset_sha256"] == learned["dataset_sha256"]
    assert held_out["export_id"] != learned["export_id"]


@pytest.mark.parametrize(
    ("kind", "skill", "name"),
    [
        ("preference", None, "preference-00000000"),
        ("skill", "Metroid · Samus", "skill-metroid-samus-00000000"),
        ("skill", "¡Ñandú!", "skill-nandu-00000000"),
        ("skill", "日本", f"skill-{hashlib.sha256('日本'.encode()).hexdigest()[:8]}-00000000"),
    ],
)
def test_ids_say_what_it_is(kind: str, skill: str | None, name: str) -> None:
    assert manifest.export_id(kind, None, skill, "0" * 64) == name
    assert re.fullmatch(SCHEMA["properties"]["export_id"]["pattern"], name)


BLOCK = "<memory>\nUser Context:\n- Le gusta Metroid\n- Resumen: nada\n- [2026-01-02] tiene un gato\n</memory>"
ONE, OTHER = str(UUID(int=1)), str(UUID(int=2))


@pytest.mark.parametrize(
    ("ids", "there", "told"),
    [
        ([ONE, None, OTHER], {ONE, OTHER}, ["- Le gusta Metroid", "- [2026-01-02] tiene un gato"]),
        ([ONE, None, OTHER], {ONE}, ["- Le gusta Metroid"]),
        ([ONE, None, [ONE, OTHER]], {ONE}, ["- Le gusta Metroid"]),
        ([ONE, OTHER], {ONE, OTHER}, []),  # one id too few: nobody knows which line is whose
        ([None, None, None], {ONE}, []),
        (["nonsense", 3, {}], {"nonsense"}, []),
        (None, {ONE}, []),
    ],
)
def test_only_lines_whose_source_is_there_are_told(ids: object, there: set[str], told: list[str]) -> None:
    metadata = {"memory_block": BLOCK, "memory_ids": ids}
    assert [line.text for line in tellable(metadata, there)] == told
    assert (fingerprint(metadata) == 0) is untraceable(metadata)


def test_a_block_is_known_by_its_lines_and_sources() -> None:
    one = {"memory_block": BLOCK, "memory_ids": [ONE, None, OTHER]}
    assert fingerprint(one) == fingerprint(dict(one)) != fingerprint(one | {"memory_ids": [OTHER, None, ONE]})
    assert (fingerprint({}), untraceable({})) == (0, False)
