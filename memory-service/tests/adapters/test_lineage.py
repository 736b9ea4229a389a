"""The chain interaction → export → adapter → deployment, asked from both ends."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
from memory_service.adapters.repository import _LINEAGE

from .documents import B, manifest

Post = Callable[..., Awaitable[dict[str, Any]]]
REPLIES = [
    "*suspiro* Los lunes sobran, mortal, y tú también madrugas.",
    "*bosteza* Metroid se juega a oscuras y callado, criatura.",
]


async def chain(client: httpx.AsyncClient, open_session: Post, tell: Post) -> dict[str, Any]:
    """Two weeks, a dataset each; layer 1 on the first, layer 2 on the second on top of it, deployed."""
    exports, stored = [], []
    for week, reply in zip((3, 4), REPLIES, strict=True):
        day = f"2026-01-{6 + 7 * (week - 2):02d}"
        session = await open_session(f"viewer_{week}", started_at=f"{day}T19:00:00Z")
        stored.append(await tell(session, input_text=f"Tema {week}", output_text=reply, occurred_at=f"{day}T19:01:00Z"))
        answer = await client.post("/exports", json={"type": "episodic", "year": 2026, "week": week})
        assert answer.status_code == 201, answer.text
        exports.append(answer.json())
    layer_1, layer_2 = "personality-20260201T120000", "episodic-2026-w04-20260202T120000"
    first = manifest(
        layer_1, dataset={"export_id": exports[0]["export_id"], "sha256": exports[0]["dataset_sha256"], "rows": 1}
    )
    second = manifest(
        layer_2,
        layer=2,
        week={"year": 2026, "number": 4},
        parent={"adapter_id": layer_1, "weights_sha256": B},
        dataset={"export_id": exports[1]["export_id"], "sha256": exports[1]["dataset_sha256"], "rows": 1},
    )
    for document in (first, second):
        assert (await client.post("/adapters", json=document)).status_code == 201
    body = {"tag": "casiopy:week04", "host": "http://127.0.0.1:11434", "live": True}
    assert (await client.post(f"/adapters/{layer_2}/deployments", json=body)).status_code == 201
    return {
        "stored": [s["id"] for s in stored],
        "exports": [e["export_id"] for e in exports],
        "adapters": [layer_1, layer_2],
    }


def ids(lineage: dict[str, Any]) -> dict[str, list[str]]:
    return {
        "interactions": lineage["interactions"],
        "exports": [item["export_id"] for item in lineage["exports"]],
        "adapters": [item["adapter_id"] for item in lineage["adapters"]],
        "deployments": [item["tag"] for item in lineage["deployments"]],
    }


async def test_forwards_from_an_interaction(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    made = await chain(client, open_session, tell)
    early = (await client.get(f"/lineage/interaction/{made['stored'][0]}")).json()
    assert ids(early) == {
        "interactions": [made["stored"][0]],
        "exports": [made["exports"][0]],
        "adapters": made["adapters"],
        "deployments": ["casiopy:week04"],
    }
    assert early["deployments"][0]["live"] is True
    late = (await client.get(f"/lineage/interaction/{made['stored'][1]}")).json()
    assert ids(late)["adapters"] == [made["adapters"][1]]


async def test_backwards_from_an_adapter(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    made = await chain(client, open_session, tell)
    whole = (await client.get(f"/lineage/adapter/{made['adapters'][1]}")).json()
    assert ids(whole) == {
        "interactions": sorted(made["stored"]),
        "exports": made["exports"],
        "adapters": made["adapters"],
        "deployments": ["casiopy:week04"],
    }
    base = (await client.get(f"/lineage/adapter/{made['adapters'][0]}")).json()
    assert ids(base) == {
        "interactions": [made["stored"][0]],
        "exports": [made["exports"][0]],
        "adapters": [made["adapters"][0]],
        "deployments": [],
    }


async def test_replayed_datasets_are_learned_from_too(
    client: httpx.AsyncClient, open_session: Post, tell: Post
) -> None:
    made = await chain(client, open_session, tell)
    other = "episodic-2026-w05-20260209T120000"
    replay = [{"export_id": made["exports"][0], "share": 0.3, "rows": 1}]
    assert (await client.post("/adapters", json=manifest(other, layer=2, replay=replay))).status_code == 201
    forwards = (await client.get(f"/lineage/interaction/{made['stored'][0]}")).json()
    assert other in ids(forwards)["adapters"]
    backwards = (await client.get(f"/lineage/adapter/{other}")).json()
    assert ids(backwards)["interactions"] == [made["stored"][0]]


async def test_what_is_trained_on_an_erased_exchange_afterwards_is_tainted_from_the_start(
    client: httpx.AsyncClient, open_session: Post, tell: Post
) -> None:
    made = await chain(client, open_session, tell)
    await client.delete(f"/interactions/{made['stored'][0]}")
    gone, kept = ({"export_id": export_id, "sha256": B, "rows": 1} for export_id in made["exports"])
    older = [{"kind": "week", "export_id": gone["export_id"], "sha256": B, "share": 0.3, "rows": 1}]
    parent = {"adapter_id": made["adapters"][0], "weights_sha256": B}
    for second, (changes, tainted) in enumerate(
        (
            ({"dataset": gone}, True),
            ({"dataset": kept}, False),
            ({"dataset": kept, "replay": older}, True),
            ({"dataset": kept, "parent": parent}, True),
        )
    ):
        answer = await client.post(
            "/adapters", json=manifest(f"skill-tarot-20260209T12000{second}", layer=3, **changes)
        )
        assert answer.status_code == 201
        assert (answer.json()["tainted_at"] is not None) == tainted
    deployed = {"tag": "casiopy:week05", "host": "http://127.0.0.1:11434", "live": False}
    answer = await client.post("/adapters/skill-tarot-20260209T120002/deployments", json=deployed)
    assert answer.status_code == 409


async def test_an_erased_interaction_keeps_its_lineage(
    client: httpx.AsyncClient, open_session: Post, tell: Post
) -> None:
    made = await chain(client, open_session, tell)
    await client.delete(f"/interactions/{made['stored'][0]}")
    lineage = (await client.get(f"/lineage/interaction/{made['stored'][0]}")).json()
    assert ids(lineage)["adapters"] == made["adapters"]


async def test_an_interaction_nobody_learned_from(client: httpx.AsyncClient, open_session: Post, tell: Post) -> None:
    stored = await tell(await open_session())
    lineage = (await client.get(f"/lineage/interaction/{stored['id']}")).json()
    assert ids(lineage) == {"interactions": [stored["id"]], "exports": [], "adapters": [], "deployments": []}
    assert (await client.get(f"/lineage/interaction/{uuid4()}")).status_code == 404


def test_each_direction_is_one_statement() -> None:
    assert set(_LINEAGE) == {"from_interaction", "from_adapter"}
    assert [statement.text.count(";") for statement in _LINEAGE.values()] == [1, 1]
