"""The session routes that chat clients know: own names, history, summary, structured memory, reset, delete."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from memory_service.db import Database
from memory_service.memories import service as memories
from memory_service.memories.draft import Draft
from sqlalchemy import text

Post = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def named(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.post("/sessions/new", json={"session_id": "user_123", "user_id": "antonio"})
    assert answer.status_code == 200, answer.text
    session: dict[str, Any] = answer.json()
    return session


async def test_a_session_opens_without_a_word(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sessions/new")
    session = answer.json()
    assert (answer.status_code, session["session_id"]) == (200, session["id"])
    assert session["user_id"] == f"session:{session['session_id']}"
    assert (await client.get("/sessions")).json()["total"] == 1


async def test_a_name_of_the_clients_own_works_everywhere(
    client: httpx.AsyncClient, named: dict[str, Any], tell: Post
) -> None:
    assert (named["session_id"], named["name"]) == ("user_123", "user_123")
    await tell(named)
    shown = (await client.get("/sessions/user_123")).json()
    assert (shown["id"], shown["interactions"], shown["history"]) == (named["id"], 1, "/history/user_123")
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"]
    changed = await client.patch("/sessions/user_123", json={"opt_out_training": True})
    assert changed.json()["opt_out_training"] is True
    ended = (await client.post("/sessions/user_123/end")).json()
    assert ended["ended_at"] is not None
    taken = await client.post("/sessions/new", json={"session_id": "user_123"})
    assert (taken.status_code, taken.json()["error"]) == (409, "conflict")


@pytest.mark.parametrize("ref", ["a b", "-a", "x" * 129, "ñ", "a!"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/sessions/{}"), ("DELETE", "/sessions/{}"), ("GET", "/history/{}"), ("PUT", "/sessions/{}/summary")],
)
async def test_what_is_no_session_id_is_refused(client: httpx.AsyncClient, ref: str, method: str, path: str) -> None:
    answer = await client.request(method, path.format(ref), json={"summary": "x"} if method == "PUT" else None)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "session id" in answer.json()["detail"]


_ROUTES = [
    ("GET", "/sessions/{}", None),
    ("DELETE", "/sessions/{}", None),
    ("POST", "/sessions/{}/reset", None),
    ("GET", "/sessions/{}/summary", None),
    ("PUT", "/sessions/{}/summary", {"summary": "x"}),
    ("POST", "/sessions/{}/summary/reset", None),
    ("GET", "/sessions/{}/memory", None),
    ("PUT", "/sessions/{}/memory", {}),
    ("POST", "/sessions/{}/memory/reset", None),
    ("GET", "/history/{}", None),
    ("DELETE", "/history/{}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), _ROUTES)
async def test_someone_elses_session_is_not_there(
    client: httpx.AsyncClient, database: Database, method: str, path: str, body: object
) -> None:
    theirs, name = uuid4(), f"chat_{uuid4().hex[:8]}"
    async with database.transaction("someone-else") as connection:
        await connection.execute(text("INSERT INTO owners (id) VALUES ('someone-else') ON CONFLICT DO NOTHING"))
        statement = text("""
            WITH p AS (INSERT INTO personas (id, owner_id, slug, name) VALUES (:p, 'someone-else', :slug, 'P') RETURNING id),
                 u AS (INSERT INTO users (owner_id, id) VALUES ('someone-else', :slug) RETURNING id)
            INSERT INTO sessions (id, name, owner_id, persona_id, user_id)
            SELECT :id, :slug, 'someone-else', p.id, u.id FROM p, u
        """)
        await connection.execute(statement, {"p": uuid4(), "id": theirs, "slug": name})
    for ref in (theirs, name):
        answer = await client.request(method, path.format(ref), json=body)
        assert (answer.status_code, answer.json()["error"]) == (404, "not_found"), answer.text
    opened = await client.post("/sessions/new", json={"session_id": str(theirs)})
    assert (opened.status_code, opened.json()["error"]) == (404, "not_found")
    async with database.transaction("someone-else") as connection:
        assert await connection.scalar(text("SELECT count(*) FROM sessions WHERE id = :id"), {"id": theirs}) == 1


async def test_the_history_is_as_documented_and_can_be_erased(
    client: httpx.AsyncClient, named: dict[str, Any], tell: Post
) -> None:
    begun = datetime.now(UTC) - timedelta(minutes=5)
    for number in range(2):
        await tell(named, input_text=f"pregunta {number}", occurred_at=(begun + timedelta(minutes=number)).isoformat())
    await tell(named, input_text="sin respuesta", output_text="")
    history = (await client.get("/history/user_123")).json()
    assert (history["session_id"], history["total_mensajes"]) == ("user_123", 5)
    assert set(history) == {"session_id", "total_mensajes", "historial"}
    said = [message["content"] for message in history["historial"] if message["role"] == "user"]
    assert said == ["pregunta 0", "pregunta 1", "sin respuesta"]
    times = [datetime.fromisoformat(message["timestamp"]) for message in history["historial"]]
    assert times == sorted(times)
    erased = await client.delete("/history/user_123")
    assert erased.json() == {"message": "Historial de sesión user_123 eliminado"}
    assert (await client.get("/history/user_123")).json()["historial"] == []
    assert (await client.get("/sessions/user_123")).json()["interactions"] == 0


async def _learn(database: Database, owner: str, user_id: str, source: str | None, key: str) -> None:
    async with database.transaction(owner) as connection:
        draft = Draft(type="fact", content=f"{key}: x", key=key, value="x", source_interaction_id=source)  # type: ignore[arg-type]
        await memories.remember(connection, owner, user_id, draft)


async def test_a_reset_keeps_what_is_known_of_the_viewer_and_a_delete_takes_what_was_learned(
    client: httpx.AsyncClient, database: Database, owner: str, named: dict[str, Any], tell: Post
) -> None:
    first = await tell(named)
    await _learn(database, owner, "antonio", first["id"], "name")
    await client.put("/sessions/user_123/summary", json={"summary": "Antonio es de Sevilla."})
    reset = (await client.post("/sessions/user_123/reset")).json()
    assert reset["session_id"] == "user_123"
    shown = (await client.get("/sessions/user_123")).json()
    assert (shown["interactions"], shown["summary"]) == (0, "")
    assert (await client.get("/sessions/user_123/memory")).json()["profile"] == {"name": "x"}
    second = await tell(named)
    await _learn(database, owner, "antonio", second["id"], "age")
    erased = await client.delete("/sessions/user_123")
    assert (erased.status_code, erased.json()["session_id"]) == (200, "user_123")
    assert (await client.get("/sessions/user_123")).status_code == 404
    assert (await client.get(f"/interactions/{second['id']}")).status_code == 404
    async with database.transaction(owner) as connection:
        assert [item.key for item in await memories.current(connection, "antonio")] == ["name"]


async def test_erasing_a_session_taints_the_datasets_that_hold_it(
    client: httpx.AsyncClient, database: Database, owner: str, named: dict[str, Any], tell: Post
) -> None:
    exchange = await tell(named)
    statement = text("""
        WITH e AS (
            INSERT INTO training_exports (id, owner_id, persona_id, export_id, type, format, dataset_sha256, manifest)
            SELECT :export, :owner, persona_id, 'personality-x', 'personality', 'chatml', 'x', '{}'
            FROM sessions WHERE id = :session RETURNING id)
        INSERT INTO training_export_rows (training_export_id, interaction_id, owner_id, row_number, split, content_hash)
        SELECT e.id, :interaction, :owner, 0, 'train', 'h' FROM e
    """)
    values = {"export": uuid4(), "owner": owner, "session": named["id"], "interaction": exchange["id"]}
    async with database.transaction(owner) as connection:
        await connection.execute(statement, values)
    await client.delete("/sessions/user_123")
    async with database.transaction(owner) as connection:
        assert await connection.scalar(text("SELECT tainted_at IS NOT NULL FROM training_exports")) is True


async def test_the_summary_is_written_shown_and_emptied(client: httpx.AsyncClient, named: dict[str, Any]) -> None:
    empty = (await client.get("/sessions/user_123/summary")).json()
    assert empty == {"session_id": "user_123", "summary": "", "written_by": None, "updated_at": None}
    written = (await client.put("/sessions/user_123/summary", json={"summary": "  Antonio es de Sevilla. "})).json()
    assert (written["summary"], written["written_by"]) == ("Antonio es de Sevilla.", "operator")
    assert (await client.get("/sessions/user_123/summary")).json() == written
    assert (await client.post("/sessions/user_123/summary/reset")).json()["summary"] == ""
    assert (await client.get("/sessions/user_123/summary")).json()["summary"] == ""


@pytest.mark.parametrize("body", [{}, {"summary": None}, {"summary": 3}, {"summary": "x" * 8001}, {"summary": "\x00"}])
async def test_bad_summaries_are_refused(
    client: httpx.AsyncClient, named: dict[str, Any], body: dict[str, Any]
) -> None:
    answer = await client.put("/sessions/user_123/summary", json=body)
    assert answer.status_code == 400
    assert "summary" in answer.json()["detail"]


_MEMORY = {
    "profile": {"name": "Antonio", "age": 41},
    "preferences": {"tone": "breve", "likes": ["lluvia", "Python"]},
    "facts": ["Tiene un gato", "Viene de Sevilla"],
    "todos": ["Comprar café"],
}


async def test_the_structured_memory_is_what_was_put(client: httpx.AsyncClient, named: dict[str, Any]) -> None:
    assert (await client.get("/sessions/user_123/memory")).json() == {
        "profile": {},
        "preferences": {},
        "facts": [],
        "todos": [],
    }
    put = await client.put("/sessions/user_123/memory", json=_MEMORY)
    assert (put.status_code, put.json()) == (200, _MEMORY)
    assert (await client.put("/sessions/user_123/memory", json=_MEMORY)).json() == _MEMORY
    listed = (await client.get("/memory", params={"user_id": "antonio", "superseded": True})).json()
    assert len(listed) == 7  # nothing that stayed the same was written again


async def test_a_value_put_in_its_place_supersedes_and_one_left_out_ends(
    client: httpx.AsyncClient, named: dict[str, Any], database: Database, owner: str
) -> None:
    await client.put("/sessions/user_123/memory", json=_MEMORY)
    second = {"profile": {"name": "Toni"}, "facts": ["Tiene un gato"]}
    shown = (await client.put("/sessions/user_123/memory", json=second)).json()
    assert shown == {"profile": {"name": "Toni"}, "preferences": {}, "facts": ["Tiene un gato"], "todos": []}
    statement = text("SELECT key, valid_to IS NULL AS open FROM memories WHERE key IS NOT NULL ORDER BY created_at")
    async with database.transaction(owner) as connection:
        rows = (await connection.execute(statement)).all()
    assert sorted((row.key, row.open) for row in rows) == [
        ("age", False),
        ("likes", False),
        ("name", False),
        ("name", True),
        ("todos", False),
        ("tone", False),
    ]
    emptied = (await client.post("/sessions/user_123/memory/reset")).json()
    assert emptied == {"profile": {}, "preferences": {}, "facts": [], "todos": []}


async def test_what_one_door_stores_the_other_shows(client: httpx.AsyncClient, named: dict[str, Any]) -> None:
    body = {"user_id": "antonio", "type": "preference", "key": "theme", "value": "dark", "content": "Prefers dark mode"}
    assert (await client.post("/memory", json=body)).status_code == 200
    assert (await client.get("/sessions/user_123/memory")).json()["preferences"] == {"theme": "dark"}


async def test_a_memory_stored_as_a_sentence_alone_goes_round_unchanged(
    client: httpx.AsyncClient, named: dict[str, Any]
) -> None:
    body = {"user_id": "antonio", "type": "fact", "key": "city", "content": "city: Madrid"}
    assert (await client.post("/memory", json=body)).status_code == 200
    shown = (await client.get("/sessions/user_123/memory")).json()
    assert shown["profile"] == {"city": "Madrid"}
    assert (await client.put("/sessions/user_123/memory", json=shown)).json() == shown
    (stored,) = (await client.get("/memory", params={"user_id": "antonio"})).json()
    assert stored["content"] == "city: Madrid"


async def test_memories_put_at_the_same_moment_replace_each_other_one_by_one(
    client: httpx.AsyncClient, named: dict[str, Any]
) -> None:
    await client.put("/sessions/user_123/memory", json=_MEMORY)
    bodies = [{"profile": {"turn": turn}, "facts": [f"Turno {turn}"]} for turn in range(6)]
    answers = await asyncio.gather(*(client.put("/sessions/user_123/memory", json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [200] * 6
    left = (await client.get("/sessions/user_123/memory")).json()
    assert left["facts"] == [f"Turno {left['profile']['turn']}"]


@pytest.mark.parametrize(
    ("body", "named_field"),
    [
        ({"profile": []}, "profile"),
        ({"profile": {"": 1}}, "profile"),
        ({"profile": {"todos": ["x"]}}, "todos"),
        ({"profile": {"name": "a\x00b"}}, "profile: name"),
        ({"profile": {"name": "x" * 10_000}}, "profile: name"),
        ({"profile": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}}, "profile: a"),
        ({"profile": {"name": "a"}, "preferences": {"name": "b"}}, "preferences.name"),
        ({"preferences": "dark"}, "preferences"),
        ({"facts": {"a": 1}}, "facts"),
        ({"facts": ["ok", " "]}, "facts.1"),
        ({"facts": [1]}, "facts.0"),
        ({"todos": ["x"] * 201}, "todos"),
        ({"todos": ["x" * 9000, "y" * 9000]}, "todos"),
        ([], "body"),
        ({"perfil": {"name": "a"}}, "None of profile, preferences, facts, todos"),
    ],
)
async def test_bad_memory_is_refused_by_name(
    client: httpx.AsyncClient, named: dict[str, Any], body: object, named_field: str
) -> None:
    answer = await client.put("/sessions/user_123/memory", json=body)
    assert answer.status_code == 400
    assert named_field in answer.json()["detail"]


async def test_two_who_open_the_same_name_get_one_session(client: httpx.AsyncClient) -> None:
    bodies = [{"session_id": "chat_1"}] * 4
    answers = await asyncio.gather(*(client.post("/sessions/new", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
