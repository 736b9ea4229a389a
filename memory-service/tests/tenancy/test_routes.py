"""No route shows or touches another owner's rows. A route added later is covered by itself, or fails here until it is."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from memory_service.app import create_app
from memory_service.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

OPENAPI = create_app(Settings(_env_file=None), "postgresql://localhost/none").openapi()
OPERATIONS = sorted((method.upper(), path) for path, methods in OPENAPI["paths"].items() for method in methods)

# What fills the `{name}` in a path: the other owner's row of that kind.
NAMES = {
    "session_id": "session",
    "interaction_id": "interaction",
    "entry_id": "entry",
    "user_id": "user",
    "memory_id": "memory",
    "export_id": "export_name",
    "adapter_id": "adapter_name",
    "category": "secret",
}
# Valid bodies for the writes that need one, so that only the ownership can stop them.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PUT", "/core-memory/{entry_id}"): {"value": "robado"},
    ("PATCH", "/sessions/{session_id}"): {"opt_out_training": True},
    ("PUT", "/sessions/{session_id}/summary"): {"summary": "robado"},
    ("PUT", "/sessions/{session_id}/memory"): {"profile": {"name": "robado"}},
    ("PATCH", "/users/{user_id}"): {"opt_out_training": True},
    ("POST", "/users/{user_id}/memories/batch"): {"name": "robado"},
    ("PUT", "/interactions/{interaction_id}/quality"): {"quality_score": 0.1},
    ("POST", "/interactions/{interaction_id}/feedback"): {"rating": 1},
    ("POST", "/adapters/{adapter_id}/deployments"): {"tag": "x", "host": "h", "live": True, "smoke": {}},
    ("POST", "/adapters/{adapter_id}/report"): {
        "schema": "casiopy/report-v1",
        "report_id": "r",
        "created_at": "2026-01-05T20:00:00Z",
        "candidate": {"name": "x", "adapter_id": None, "weights_sha256": None},
        **{name: {} for name in ("floor", "battery", "serving")},
        **{name: [] for name in ("reasons", "hard_fails", "metrics", "replies")},
        "reference": None,
        "seed": 7,
        "verdict": "pass",
    },
}
# Who is unknown to an owner has no memories there: that is an answer, not a refusal.
EMPTY_FOR_ANYONE = ("/context/text", "/memories/raw", "/memories/batch", "/memories")
# Lists of one viewer, asked for the other owner's.
OF_ONE_VIEWER = {"/memory", "/memory/stats", "/gdpr/export"}


async def _everything(superuser: AsyncEngine, owner: str) -> dict[str, list[Any]]:
    """Every row of `owner`, but for when its key was last used."""
    found: dict[str, list[Any]] = {}
    async with superuser.connect() as connection:
        tables = await connection.scalars(
            text("SELECT table_name FROM information_schema.columns WHERE column_name = 'owner_id' ORDER BY table_name")
        )
        for table in tables.all():
            query = f"SELECT to_jsonb(kept) - 'last_used_at' AS row FROM {table} AS kept WHERE owner_id = :owner ORDER BY row"
            found[table] = list(await connection.scalars(text(query), {"owner": owner}))
    return found


@pytest.fixture
async def mine(client: httpx.AsyncClient, tenants: Any) -> httpx.AsyncClient:
    """The service as the first owner calls it."""
    client.headers.update(tenants[0].headers)
    return client


def _short(path: str) -> str:
    return path.removeprefix("/api/v1").replace(":path", "")


@pytest.mark.parametrize(("method", "path"), [one for one in OPERATIONS if "{" in one[1]])
async def test_the_ids_of_another_owner_lead_nowhere(
    mine: httpx.AsyncClient, superuser: AsyncEngine, tenants: Any, method: str, path: str
) -> None:
    _, theirs = tenants
    before = await _everything(superuser, theirs.owner)
    names = {part.split("}")[0].split(":")[0] for part in path.split("{")[1:]}
    unknown = names - set(NAMES)
    assert not unknown, f"say in NAMES which row of the other owner {unknown} means"
    filled = path
    for name in names:
        filled = filled.replace(f"{{{name}}}", str(theirs.values[NAMES[name]]))
    answer = await mine.request(method, filled, json=BODIES.get((method, _short(path))))
    if path.endswith("/{category}") or "/lineage/" in path:
        assert answer.status_code in {200, 404}
    elif path.endswith(EMPTY_FOR_ANYONE):
        assert answer.status_code == 200, answer.text
    else:
        assert answer.status_code == 404, answer.text
    assert theirs.secret not in answer.text.replace(str(theirs.values["user"]), "").replace(filled, "")
    assert await _everything(superuser, theirs.owner) == before


@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "GET" and "{" not in path])
async def test_lists_show_the_callers_own_rows(mine: httpx.AsyncClient, tenants: Any, path: str) -> None:
    own, theirs = tenants
    whose = {"user_id": theirs.values["user"]} if _short(path) in OF_ONE_VIEWER else {}
    answer = await mine.get(path, params=whose)
    other_status = {"/health": 503, "/gdpr/export": 404}.get(_short(path), 200)
    assert answer.status_code in {200, other_status}, answer.text
    shown = answer.text.replace(str(theirs.values["user"]), "")  # a refusal repeats what was asked
    assert theirs.secret not in shown
    assert theirs.owner not in shown
    if _short(path) in {"/sessions", "/interactions", "/users", "/personas", "/core-memory"}:
        assert own.secret in answer.text


async def test_the_own_secret_is_seen_where_the_others_is_not(mine: httpx.AsyncClient, tenants: Any) -> None:
    own, _ = tenants
    answer = await mine.get(f"/interactions/{own.values['interaction']}")
    assert answer.json()["input_text"] == own.secret


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/interactions", {"session_id": "{session}", "input_text": "hola"}, 404),
        ("/chat", {"prompt": "hola", "session_id": "{session}"}, 404),
        ("/sessions/new", {"session_id": "{session}"}, 404),
        ("/interactions/bulk", {"interactions": [{"session_id": "{session}", "input_text": "hola"}]}, 404),
    ],
)
async def test_bodies_cannot_name_another_owners_rows(
    mine: httpx.AsyncClient, superuser: AsyncEngine, tenants: Any, path: str, body: dict[str, Any], status: int
) -> None:
    _, theirs = tenants
    before = await _everything(superuser, theirs.owner)
    session = str(theirs.values["session"])
    filled = httpx.Request("POST", "http://x", json=body).content.decode().replace("{session}", session)
    answer = await mine.post(path, content=filled, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert await _everything(superuser, theirs.owner) == before


async def test_a_viewers_name_may_be_used_by_two_owners(
    mine: httpx.AsyncClient, superuser: AsyncEngine, tenants: Any
) -> None:
    _, theirs = tenants
    before = await _everything(superuser, theirs.owner)
    session = (await mine.post("/sessions", json={"user_id": theirs.values["user"]})).json()
    await mine.patch(f"/users/{session['user_id']}", json={"opt_out_training": True})
    assert await _everything(superuser, theirs.owner) == before


async def test_an_owner_in_the_body_counts_for_nothing(
    mine: httpx.AsyncClient, superuser: AsyncEngine, tenants: Any
) -> None:
    own, theirs = tenants
    body = {"user_id": f"u-{uuid4()}", "owner_id": theirs.owner, "owner": theirs.owner}
    session = (await mine.post("/sessions", json=body)).json()
    async with superuser.connect() as connection:
        owner = await connection.scalar(text("SELECT owner_id FROM sessions WHERE id = :id"), {"id": session["id"]})
    assert owner == own.owner
