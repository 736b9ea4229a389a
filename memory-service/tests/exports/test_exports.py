"""Datasets over HTTP against a real database: consent, redaction, weeks, reproducibility, and what happens afterwards."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

Post = Callable[..., Awaitable[dict[str, Any]]]
SCHEMA = json.loads((Path(__file__).parents[3] / "exports/schema/dataset-v1.schema.json").read_text(encoding="utf-8"))
ROW_SCHEMA = {"$schema": SCHEMA["$schema"], "$ref": "#/$defs/row", "$defs": SCHEMA["$defs"]}
WEEK_4 = {"type": "episodic", "year": 2026, "week": 4}
# Distinct good replies: the sixth word on tells them apart.
REPLIES = [
    "*suspiro* Debugueo el universo, mortal, y tú preguntas por la pizza.",
    "*bosteza* Los lunes son un error de diseño que nadie corrige, criatura.",
    "Obvio que Metroid gana; tus gustos necesitan un parche urgente, mortal.",
    "*pone los ojos en blanco* Comic Sans otra vez, y aún me llamas cruel.",
    "Ay, criatura, la lluvia suena mejor que todos tus mensajes de voz juntos.",
    "*ríe por lo bajo* Pixel ha mordido el cable y aún piensa mejor que tú, mortal.",
    "Mira, mortal, el café negro no se bebe: se contempla desde la nave.",
    "Qué ilusión, otro voluntario para limpiar la cubierta de La Cassiopeia, mortal.",
]


@pytest.fixture
def week_4(open_session: Post, tell: Post) -> Callable[[], Awaitable[list[dict[str, Any]]]]:
    """Eight good exchanges of four viewers in the fourth week of 2026."""

    async def fill() -> list[dict[str, Any]]:
        stored = []
        for number, reply in enumerate(REPLIES):
            if number % 2 == 0:
                session = await open_session(f"viewer_{'abcd'[number // 2]}", started_at="2026-01-20T19:00:00Z")
            when = f"2026-01-2{number // 2}T19:0{number}:00Z"
            asked = f"Cuéntame la historia número {number} de la nave, por favor"
            stored.append(await tell(session, input_text=asked, output_text=reply, occurred_at=when))
        return stored

    return fill


async def export(client: httpx.AsyncClient, status: int = 201, **wanted: Any) -> dict[str, Any]:
    answer = await client.post("/exports", json=WEEK_4 | wanted)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def rows_of(client: httpx.AsyncClient, manifest: dict[str, Any], split: str = "train") -> list[dict[str, Any]]:
    answer = await client.get(f"/exports/{manifest['export_id']}/rows", params={"split": split})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert hashlib.sha256(answer.content).hexdigest() == manifest["splits"][split]["sha256"]
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_dataset_is_what_its_schema_says(client: httpx.AsyncClient, week_4: Any) -> None:
    stored = await week_4()
    manifest = await export(client, val_share=0.25)
    jsonschema.validate(manifest, SCHEMA)
    train, val = await rows_of(client, manifest), await rows_of(client, manifest, "val")
    for row in train + val:
        jsonschema.validate(row, ROW_SCHEMA)
    ids = [i for row in train + val for i in row["metadata"]["interaction_ids"]]
    assert sorted(ids) == sorted(s["id"] for s in stored)
    assert ids == [entry["interaction_id"] for entry in manifest["rows"]]
    assert (len(train), len(val)) == (manifest["splits"]["train"]["rows"], manifest["splits"]["val"]["rows"])
    assert val
    assert not {r["metadata"]["session_id"] for r in train} & {r["metadata"]["session_id"] for r in val}
    prompt = (await client.get("/core-memory/system-prompt/generate")).json()
    assert manifest["system_prompt_sha256"] == prompt["sha256"]
    both = [await client.get(f"/exports/{manifest['export_id']}/rows?split={split}") for split in ("train", "val")]
    assert hashlib.sha256(both[0].content + both[1].content).hexdigest() == manifest["dataset_sha256"]


async def test_exporting_again_is_the_same_dataset(client: httpx.AsyncClient, week_4: Any) -> None:
    await week_4()
    first = await export(client)
    assert await export(client, status=200) == first
    assert (await client.get(f"/exports/{first['export_id']}")).json() == first
    # Another seed alone may hold the same sessions out: their ids are new every time.
    other = await export(client, seed=8, val_share=0.5, max_turns=1)
    assert other["dataset_sha256"] != first["dataset_sha256"]
    listed = (await client.get("/exports")).json()
    assert [item["export_id"] for item in listed["items"]] == [other["export_id"], first["export_id"]]
    assert "rows" not in listed["items"][0]
    assert listed["items"][0]["splits"] == other["splits"]


async def test_weeks_are_those_of_the_time_zone(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    session = await open_session(started_at="2026-01-18T20:00:00Z")
    # Sunday 23:30 UTC is Monday of week 4 in Madrid.
    stored = await tell(session, occurred_at="2026-01-18T23:30:00Z")
    manifest = await export(client)
    assert [entry["interaction_id"] for entry in manifest["rows"]] == [stored["id"]]
    assert manifest["week"]["from"] == "2026-01-18T23:00:00Z"
    refused = await export(client, 409, timezone="UTC")
    assert refused["error"] == "nothing_selected"
    assert "no exchange in week 4 of 2026 (UTC)" in refused["detail"]


async def test_who_opted_out_is_never_exported(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    consenting = await open_session("luna", started_at="2026-01-20T19:00:00Z")
    silent = await open_session("sol", opt_out_training=True, started_at="2026-01-20T19:00:00Z")
    kept = await tell(consenting, output_text=REPLIES[0], occurred_at="2026-01-20T19:01:00Z")
    await tell(silent, output_text=REPLIES[1], occurred_at="2026-01-20T19:01:00Z")
    manifest = await export(client)
    assert [entry["interaction_id"] for entry in manifest["rows"]] == [kept["id"]]
    assert {s["stage"]: s["dropped"] for s in manifest["funnel"]}["consent"] == 1
    answer = await client.patch("/users/luna", json={"opt_out_training": True})
    assert answer.status_code == 200, answer.text
    gone = await client.get(f"/exports/{manifest['export_id']}/rows")
    assert (gone.status_code, gone.json()["error"]) == (409, "dataset_changed")
    assert "opted out since" in gone.json()["detail"]
    assert (await export(client, 409))["error"] == "nothing_selected"


async def test_the_funnel_and_redaction(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    session = await open_session("lunaroja", started_at="2026-01-20T19:00:00Z", metadata={"display_name": "Lucía R."})
    at = iter(range(10, 60))

    async def say(asked: str, reply: str) -> dict[str, Any]:
        moment = f"2026-01-20T19:{next(at)}:00Z"
        return await tell(session, input_text=asked, output_text=reply, occurred_at=moment)

    kept = await say(
        "Me llamo Lucía, mi correo es luna@example.org", "*suspiro* Lucía, borra ese correo, mortal insensata."
    )
    await say("¿me ayudas?", "Lo siento, no puedo ayudarte con eso.")
    await say("¿qué tal?", "Bien.")
    await say("Me llamo Lucía, mi correo es luna@example.org", "*suspiro* Lucía, borra ese correo, mortal insensata.")
    manifest = await export(client)
    funnel = {stage["stage"]: stage["dropped"] for stage in manifest["funnel"]}
    assert funnel["rules"] == 1
    assert funnel["quality"] == 1
    assert funnel["exact_duplicates"] == 1
    assert manifest["redacted"] == {"email": 1, "name": 2}
    (row,) = await rows_of(client, manifest)
    assert row["metadata"]["interaction_ids"] == [kept["id"]]
    assert row["metadata"]["viewer"] == "viewer_1"
    assert [m["content"] for m in row["messages"] if m["role"] != "system"] == [
        "Me llamo viewer_1, mi correo es [email]",
        "*suspiro* viewer_1, borra ese correo, mortal insensata.",
    ]


async def test_dropped_exchanges_break_a_conversation(
    client: httpx.AsyncClient, open_session: Post, tell: Post
) -> None:
    session = await open_session(started_at="2026-01-20T19:00:00Z")
    for minute, reply in enumerate(
        [REPLIES[0], REPLIES[1], "Error: connection to the model server refused", REPLIES[2]]
    ):
        await tell(
            session, input_text=f"Historia {minute * 77}", output_text=reply, occurred_at=f"2026-01-20T19:0{minute}:00Z"
        )
    manifest = await export(client)
    assert [len(row["metadata"]["interaction_ids"]) for row in await rows_of(client, manifest)] == [2, 1]
    short = await export(client, max_turns=1)
    assert [len(row["metadata"]["interaction_ids"]) for row in await rows_of(client, short)] == [1, 1, 1]


async def test_personality_covers_all_time(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    session = await open_session(started_at="2025-06-01T10:00:00Z")
    old = await tell(session, output_text=REPLIES[0], occurred_at="2025-06-01T10:01:00Z")
    new = await tell(session, input_text="otra cosa", output_text=REPLIES[1], occurred_at="2026-01-20T19:00:00Z")
    answer = await client.post("/exports", json={"type": "personality"})
    assert answer.status_code == 201
    manifest = answer.json()
    jsonschema.validate(manifest, SCHEMA)
    assert manifest["week"] is None
    assert [entry["interaction_id"] for entry in manifest["rows"]] == [old["id"], new["id"]]
    assert "in_character" in {stage["stage"] for stage in manifest["funnel"]}


async def test_erased_exchanges_leave_the_service_no_more(client: httpx.AsyncClient, week_4: Any) -> None:
    stored = await week_4()
    manifest = await export(client)
    await client.delete(f"/interactions/{stored[0]['id']}")
    answer = await client.get(f"/exports/{manifest['export_id']}/rows")
    assert answer.status_code == 409
    assert "1 were erased" in answer.json()["detail"]


async def test_changed_core_memory_is_named_as_the_reason(client: httpx.AsyncClient, week_4: Any) -> None:
    await week_4()
    manifest = await export(client)
    entry = {"category": "like", "key": "tea", "value": "Te gusta el té imaginario.", "is_mutable": True}
    added = (await client.post("/core-memory", json=entry)).json()
    answer = await client.get(f"/exports/{manifest['export_id']}/rows")
    assert answer.status_code == 409
    assert "core memory has changed" in answer.json()["detail"]
    await client.delete(f"/core-memory/{added['id']}")
    assert await rows_of(client, manifest)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"type": "episodic"}, "week"),
        ({"type": "personality", "week": 4}, "episodic"),
        ({"type": "weekly"}, "type"),
        ({"type": "episodic", "week": 54}, "week"),
        ({"type": "episodic", "year": 2025, "week": 53}, "no ISO week 53"),
        ({"type": "episodic", "week": 4, "timezone": "Madrid"}, "Europe/Madrid"),
        ({"type": "personality", "val_share": 1}, "val_share"),
        ({"type": "personality", "min_quality": 2}, "min_quality"),
        ({"type": "personality", "max_turns": 0}, "max_turns"),
        ({"type": "personality", "format": "parquet"}, "format"),
        ({"type": "personality", "seed": 10**12}, "seed"),
    ],
)
async def test_impossible_requests_are_refused_by_name(
    client: httpx.AsyncClient, wanted: dict[str, Any], named: str
) -> None:
    answer = await client.post("/exports", json=wanted)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]


async def test_unknown_datasets_are_not_found(client: httpx.AsyncClient) -> None:
    for path in ("/exports/personality-00000000", "/exports/personality-00000000/rows"):
        assert (await client.get(path)).status_code == 404
