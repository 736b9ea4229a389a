"""Skills, preferences, recalled memories and examination prompts: datasets over HTTP against a real database."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
from memory_service.exports.meaning import PER_GROUP
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

Post = Callable[..., Awaitable[dict[str, Any]]]
SCHEMA = json.loads((Path(__file__).parents[3] / "exports/schema/dataset-v1.schema.json").read_text(encoding="utf-8"))
ROW_SCHEMA = {"$schema": SCHEMA["$schema"], "$ref": "#/$defs/row", "$defs": SCHEMA["$defs"]}
DAY = "2026-01-20T19:0"
WEEK_4 = {"type": "episodic", "year": 2026, "week": 4}
REPLIES = [
    "*suspiro* Debugueo el universo, mortal, y tú preguntas por la pizza.",
    "*bosteza* Los lunes son un error de diseño que nadie corrige, criatura.",
    "Obvio que Metroid gana; tus gustos necesitan un parche urgente, mortal.",
    "*pone los ojos en blanco* Comic Sans otra vez, y aún me llamas cruel.",
    "Ay, criatura, la lluvia suena mejor que todos tus mensajes de voz juntos.",
]


@pytest.fixture
def said(open_session: Post, tell: Post) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Records a good exchange in a session of its own, told apart by its number."""

    async def record(number: int, viewer: str = "luna", session: dict[str, Any] | None = None, **fields: Any) -> Any:
        opened = await open_session(viewer, started_at=f"{DAY}0:00Z", **(session or {}))
        exchange = {
            "input_text": f"Cuéntame la historia {number * 7919} de la nave",
            "output_text": REPLIES[number],
            "occurred_at": f"{DAY}{number}:00Z",
        }
        return await tell(opened, **(exchange | fields))

    return record


@pytest.fixture
def judge(client: httpx.AsyncClient) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Gives feedback on an exchange."""

    async def give(exchange: dict[str, Any], **feedback: Any) -> dict[str, Any]:
        answer = await client.post(f"/interactions/{exchange['id']}/feedback", json=feedback)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    return give


async def export(client: httpx.AsyncClient, status: int = 201, **wanted: Any) -> dict[str, Any]:
    answer = await client.post("/exports", json=wanted)
    assert answer.status_code == status, answer.text
    manifest: dict[str, Any] = answer.json()
    if status == 201:
        jsonschema.validate(manifest, SCHEMA)
        assert len(manifest["rows"]) == manifest["exchanges"]
    return manifest


async def rows_of(client: httpx.AsyncClient, manifest: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for split in ("train", "val"):
        answer = await client.get(f"/exports/{manifest['export_id']}/rows", params={"split": split})
        assert answer.status_code == 200, answer.text
        assert len(answer.content) == manifest["splits"][split]["bytes"]
        rows += [json.loads(line) for line in answer.text.splitlines()]
    for row in rows:
        jsonschema.validate(row, ROW_SCHEMA)
    return rows


def content(message: list[dict[str, str]]) -> str:
    return message[-1]["content"]


def dropped(manifest: dict[str, Any]) -> dict[str, int]:
    return {stage["stage"]: stage["dropped"] for stage in manifest["funnel"]}


@pytest.mark.parametrize("form", ["sharegpt", "alpaca"])
async def test_conversations_in_other_formats(client: httpx.AsyncClient, said: Post, form: str) -> None:
    await said(0)
    manifest = await export(client, type="personality", format=form)
    assert manifest["format"] == form
    (row,) = await rows_of(client, manifest)
    assert REPLIES[0] in json.dumps(row, ensure_ascii=False)
    assert (await client.get(f"/exports/{manifest['export_id']}")).json() == manifest


async def test_edits_swipes_and_votes_become_pairs(
    client: httpx.AsyncClient, said: Post, judge: Callable[..., Awaitable[dict[str, Any]]]
) -> None:
    edited, swiped = await said(0), await said(1)
    up = await said(2, input_text="¿Metroid o Halo?")
    down = await said(3, "sol", input_text="¿metroid o HALO?")
    await said(4)
    better = "*suspiro* La pizza, mortal, es la única constante de luna@example.org."
    await judge(edited, corrected_output=better)
    await judge(swiped, discarded_outputs=["Los lunes son un gran día para empezar.", "No sé."])
    await judge(up, rating=5)
    await judge(down, rating=1)
    manifest = await export(client, type="preference", max_turns=3)
    assert manifest["format"] == "dpo"
    assert "1 from edits, 2 from swipes, 1 from votes" in str(manifest["funnel"])
    pairs = {
        (content(row["prompt"]), content(row["chosen"]), content(row["rejected"]))
        for row in await rows_of(client, manifest)
    }
    assert pairs == {
        (edited["input_text"], better.replace("luna@example.org", "[email]"), REPLIES[0]),
        (swiped["input_text"], REPLIES[1], "Los lunes son un gran día para empezar."),
        (swiped["input_text"], REPLIES[1], "No sé."),
        (up["input_text"], REPLIES[2], REPLIES[3]),
    }
    votes = [entry for entry in manifest["rows"] if entry["evidence"] in ("chosen", "rejected")]
    assert [entry["interaction_id"] for entry in votes] == [up["id"], down["id"]]
    assert len({entry["split"] for entry in votes}) == 1


async def test_judged_replies_for_kto(
    client: httpx.AsyncClient, said: Post, judge: Callable[..., Awaitable[dict[str, Any]]]
) -> None:
    down, edited = await said(0), await said(1)
    await said(2)
    await judge(down, rating=1)
    await judge(edited, corrected_output="Los lunes no existen, criatura.")
    rows = await rows_of(client, await export(client, type="preference", format="kto"))
    labels = {content(row["completion"]): row["label"] for row in rows}
    assert labels == {REPLIES[0]: False, REPLIES[1]: False, "Los lunes no existen, criatura.": True}


async def test_feedback_that_came_later_changes_no_dataset(
    client: httpx.AsyncClient, said: Post, judge: Callable[..., Awaitable[dict[str, Any]]]
) -> None:
    exchange = await said(0)
    await judge(exchange, corrected_output="Mejor así, mortal.")
    manifest = await export(client, type="preference", format="kto")
    before = await rows_of(client, manifest)
    await judge(exchange, rating=5, discarded_outputs=["Hola."])
    assert await rows_of(client, manifest) == before


async def test_who_opted_out_or_was_erased_prefers_nothing(
    client: httpx.AsyncClient, said: Post, judge: Callable[..., Awaitable[dict[str, Any]]], superuser: AsyncEngine
) -> None:
    exchange = await said(0)
    await said(1, "sol")
    await judge(exchange, corrected_output="Mejor así, mortal.", user_id="sol")
    manifest = await export(client, type="preference")
    await client.patch("/users/sol", json={"opt_out_training": True})
    assert (await client.get(f"/exports/{manifest['export_id']}/rows")).status_code == 409
    assert (await export(client, 409, type="preference"))["error"] == "nothing_selected"
    await client.patch("/users/sol", json={"opt_out_training": False})
    assert await rows_of(client, manifest)
    gone = (await client.delete("/gdpr/delete", params={"user_id": "sol"})).json()
    assert gone["tainted"]["exports"] == [manifest["export_id"]]
    assert (await client.get(f"/exports/{manifest['export_id']}/rows")).json()["error"] == "dataset_changed"


@pytest.mark.parametrize(
    "feedback", [{}, {"comment": "meh"}, {"discarded_outputs": []}, {"discarded_outputs": [""]}, {"rating": 6}]
)
async def test_feedback_says_something(client: httpx.AsyncClient, said: Post, feedback: dict[str, Any]) -> None:
    answer = await client.post(f"/interactions/{(await said(0))['id']}/feedback", json=feedback)
    assert answer.status_code == 400


async def test_feedback_without_a_rating_leaves_the_score(
    client: httpx.AsyncClient, said: Post, judge: Callable[..., Awaitable[dict[str, Any]]]
) -> None:
    exchange = await said(0)
    stored = await judge(exchange, discarded_outputs=["Hola."])
    assert (stored["rating"], stored["discarded_outputs"]) == (None, ["Hola."])
    assert stored["quality_score"] == exchange["quality_score"]
    assert (await judge(exchange, rating=1))["quality_score"] == 0.0


async def test_a_skill_is_what_has_its_name(client: httpx.AsyncClient, said: Post, superuser: AsyncEngine) -> None:
    by_exchange = await said(0, metadata={"skill": "Metroid"})
    by_session = await said(1, session={"metadata": {"skill": "metroid"}})
    by_topic, other = await said(2), await said(3)
    async with superuser.begin() as connection:
        for statement in (
            "INSERT INTO topics (id, owner_id, persona_id, label, keywords) SELECT gen_random_uuid(), owner_id, persona_id, "
            "'METROID', '{}' FROM interactions WHERE id = :id",
            "INSERT INTO interaction_topics (interaction_id, topic_id, owner_id, similarity) "
            "SELECT :id, id, owner_id, 0.9 FROM topics",
        ):
            await connection.execute(text(statement), {"id": by_topic["id"]})
    manifest = await export(client, type="skill", skill="metroid")
    assert manifest["skill"] == "metroid"
    assert manifest["export_id"].startswith("skill-metroid-")
    found = {entry["interaction_id"] for entry in manifest["rows"]}
    assert found == {by_exchange["id"], by_session["id"], by_topic["id"]}
    assert other["id"] not in found
    assert dropped(manifest)["skill"] == 1
    assert "skill 'zelda'" in (await export(client, 409, type="skill", skill="zelda"))["detail"]


async def test_prompts_of_the_examination_stay_out(client: httpx.AsyncClient, said: Post) -> None:
    await said(0, input_text="¿Qué opinas de los lunes por la mañana?")
    kept = await said(1)
    wanted = {"type": "personality", "exclude_prompts": ["que opinas de los lunes por la mañana"]}
    manifest = await export(client, **wanted)
    assert [entry["interaction_id"] for entry in manifest["rows"]] == [kept["id"]]
    assert dropped(manifest)["probes"] == 1
    assert manifest["filters"]["exclude_prompts"]["count"] == 1
    assert "lunes por la" not in json.dumps(manifest)


async def test_rows_show_the_memories_they_were_answered_with(client: httpx.AsyncClient, said: Post) -> None:
    likes = {"category": "like", "key": "tea", "value": "Te gusta el té imaginario.", "is_mutable": True}
    await client.post("/core-memory", json=likes)
    earlier = await said(0, "sol", input_text="Mi gato se llama Pixelín y vivo en la calle Mayor 3")
    memory = (
        await client.post("/memory", json={"user_id": "luna", "type": "fact", "content": "Le gusta Metroid"})
    ).json()
    block = "<memory>\nUser Context:\n- Le gusta Metroid\n- Resumen: nada\n- vivo en la calle Mayor 3\n</memory>"
    ids = [memory["id"], None, earlier["id"]]
    asked = await said(1, metadata={"memory_block": block, "memory_ids": ids})
    await said(2, metadata={"memory_block": block})
    manifest = await export(client, **WEEK_4)
    assert manifest["untraceable_memory_blocks"] == 1
    by_id = {
        row["metadata"]["interaction_ids"][0]: row["messages"][0]["content"] for row in await rows_of(client, manifest)
    }
    prompt = (await client.get("/core-memory/system-prompt/generate")).json()["system_prompt"]
    assert prompt
    shown = by_id.pop(asked["id"])
    assert shown.startswith(f"{prompt}\n\n")
    assert shown.endswith("<memory>\nUser Context:\n- Le gusta Metroid\n- vivo en la [address]\n</memory>")
    assert set(by_id.values()) == {prompt}
    plain = await export(client, type="personality")
    assert {row["messages"][0]["content"] for row in await rows_of(client, plain)} == {prompt}


async def test_an_erased_memory_survives_in_no_row_of_another(client: httpx.AsyncClient, said: Post) -> None:
    public = await said(0, "sol", audience="public", input_text="Mi secreto es el número de la nave")
    await said(1, metadata={"memory_block": "- Su secreto es el número", "memory_ids": [public["id"]]})
    memory = (
        await client.post("/memory", json={"user_id": "luna", "type": "fact", "content": "Le gusta Metroid"})
    ).json()
    await said(2, metadata={"memory_block": "- Le gusta Metroid", "memory_ids": [memory["id"]]})
    manifest = await export(client, **WEEK_4, val_share=0)
    assert "secreto" in json.dumps(await rows_of(client, manifest))
    assert (await client.delete(f"/memory/{memory['id']}")).status_code in (200, 204)
    assert (await client.get(f"/exports/{manifest['export_id']}/rows")).json()["error"] == "dataset_changed"
    listed = (await client.get("/exports")).json()["items"]
    assert [item["tainted_at"] is not None for item in listed] == [True]
    await client.patch("/users/sol", json={"opt_out_training": True})
    again = await export(client, **WEEK_4)
    taught = json.dumps(await rows_of(client, again))
    assert "secreto" not in taught
    assert "Le gusta Metroid" not in taught


async def test_of_what_means_the_same_a_few_stay(
    client: httpx.AsyncClient, said: Post, superuser: AsyncEngine, owner: str
) -> None:
    for number in range(5):
        await said(number)
    turned = np.deg2rad([0, 2, 4, 6])
    async with superuser.begin() as connection:
        model = await connection.scalar(
            text("INSERT INTO embedding_models (name, dimension, active) VALUES ('m', 2, true) RETURNING id")
        )
        mine = text("SELECT id FROM recall_documents WHERE owner_id = :owner ORDER BY said_at")
        documents = (await connection.scalars(mine, {"owner": owner})).all()
        for document, angle in zip(documents, turned, strict=False):
            vector = f"[{np.cos(angle):.4f},{np.sin(angle):.4f}]"
            statement = (
                "INSERT INTO embeddings (owner_id, user_id, document_id, model_id, embedding) "
                "SELECT owner_id, user_id, id, :model, CAST(:vector AS halfvec) FROM recall_documents WHERE id = :document"
            )
            await connection.execute(text(statement), {"model": model, "vector": vector, "document": document})
    manifest = await export(client, type="personality")
    stage = manifest["funnel"][-1]
    assert (stage["stage"], stage["kept"], stage["dropped"]) == ("semantic_duplicates", PER_GROUP + 1, 4 - PER_GROUP)
    assert "1 without a vector passed" in stage["why"]


async def test_a_file_goes_on_where_it_broke_off(client: httpx.AsyncClient, said: Post) -> None:
    await said(0)
    await said(1)
    manifest = await export(client, type="personality", val_share=0)
    path = f"/exports/{manifest['export_id']}/rows"
    whole = await client.get(path)
    size, tag = len(whole.content), whole.headers["etag"]
    assert tag == f'"{manifest["splits"]["train"]["sha256"]}"'
    for start in (0, 1, size // 2, size - 1):
        rest = await client.get(path, headers={"Range": f"bytes={start}-", "If-Range": tag})
        assert (rest.status_code, rest.content) == (206, whole.content[start:])
        assert rest.headers["content-range"] == f"bytes {start}-{size - 1}/{size}"
    other = await client.get(path, headers={"Range": "bytes=5-", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, whole.content)
    assert (await client.get(path, headers={"Range": "bytes=1-2"})).status_code == 200
    beyond = await client.get(path, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.json()["error"]) == (416, "range_not_satisfiable")


async def test_a_manifest_without_its_rows(client: httpx.AsyncClient, said: Post) -> None:
    await said(0)
    head = (await client.post("/exports?rows=false", json={"type": "personality"})).json()
    whole = (await client.get(f"/exports/{head['export_id']}")).json()
    assert {key: value for key, value in whole.items() if key != "rows"} == head
    assert (await client.get(f"/exports/{head['export_id']}?rows=false")).json() == head
    assert list(whole)[-1] == "rows"


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"type": "skill"}, "`skill`"),
        ({"type": "personality", "skill": "metroid"}, "`skill`"),
        ({"type": "skill", "skill": "··"}, "skill"),
        ({"type": "preference", "week": 4}, "`week`"),
        ({"type": "preference", "format": "chatml"}, "`preference`"),
        ({"type": "personality", "format": "dpo"}, "`preference`"),
        ({"type": "personality", "format": "csv"}, "format"),
        ({"type": "personality", "exclude_prompts": [""]}, "exclude_prompts"),
    ],
)
async def test_what_does_not_go_together_is_refused(
    client: httpx.AsyncClient, wanted: dict[str, Any], named: str
) -> None:
    answer = await client.post("/exports", json=wanted)
    assert answer.status_code == 400
    assert named in answer.json()["detail"]
