"""The registry over HTTP against a real database: registration, the gate's word, deployments, and the schema files."""

import copy
import json
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from memory_service.adapters.schemas import AdapterManifest, GateReport
from pydantic import BaseModel, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from .documents import A, manifest, report

SCHEMAS = Path(__file__).parents[3] / "lora_adapters" / "schema"
ADAPTER = "personality-20260201T120000"


async def register(client: httpx.AsyncClient, status: int = 201, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/adapters", json=manifest(**changes))
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_registering_is_idempotent(client: httpx.AsyncClient) -> None:
    first = await register(client)
    assert first["manifest"] == manifest()
    assert (first["status"], first["verdict"], first["persona"]) == ("trained", None, "casiopy")
    again = await register(client, 200)
    assert again == first
    listed = (await client.get("/adapters")).json()
    assert (listed["total"], listed["items"][0]["adapter_id"]) == (1, ADAPTER)
    assert listed["items"][0]["dataset"] == manifest()["dataset"]
    assert (await client.get(f"/adapters/{ADAPTER}")).json() == first
    other = await register(client, 409, weights={"file": "adapter_model.safetensors", "sha256": A})
    assert other["error"] == "conflict"
    assert "other weights" in other["detail"]


async def test_layer_3_stands_beside_the_weeks(client: httpx.AsyncClient) -> None:
    ground = await register(client)
    parent = {"adapter_id": ADAPTER, "weights_sha256": ground["weights_sha256"]}
    general = {"kind": "general", "export_id": "general-1a2b3c4d.jsonl", "sha256": A, "share": 0.1, "rows": 4}
    for adapter_id, changes in (
        ("episodic-2026-w05-rebuild-20260202T120000", {"layer": 2, "week": {"year": 2026, "number": 5}}),
        ("skill-tarot-20260202T120001", {"layer": 3, "kind": "skill", "skill": "tarot", "replay": [general]}),
        ("preference-20260202T120002", {"layer": 3, "kind": "preference", "skill": None}),
    ):
        stored = await register(client, adapter_id=adapter_id, parent=parent, **changes)
        assert (stored["layer"], stored["week"], stored["parent"]) == (changes["layer"], changes.get("week"), parent)
        assert stored["manifest"] == manifest(adapter_id, parent=parent, **changes)
        assert (await client.get(f"/adapters/{adapter_id}")).json() == stored
    assert (await client.get("/adapters")).json()["total"] == 4


async def test_the_gate_has_the_last_word(client: httpx.AsyncClient) -> None:
    await register(client)
    answer = await client.post(f"/adapters/{ADAPTER}/report", json=report(verdict="fail", reasons=["style lost"]))
    assert answer.status_code == 201
    assert (answer.json()["status"], answer.json()["verdict"]) == ("evaluated", "fail")
    await client.post(f"/adapters/{ADAPTER}/report", json=report())
    adapter = (await client.get(f"/adapters/{ADAPTER}")).json()
    assert adapter["verdict"] == "pass"
    assert adapter["report"] == report()


@pytest.mark.parametrize(
    "candidate",
    [
        {"name": "x", "adapter_id": "personality-20260301T120000", "weights_sha256": None},
        {"name": "x", "adapter_id": ADAPTER, "weights_sha256": A},
    ],
)
async def test_a_report_on_something_else_is_refused(client: httpx.AsyncClient, candidate: dict[str, Any]) -> None:
    await register(client)
    answer = await client.post(f"/adapters/{ADAPTER}/report", json=report(candidate=candidate))
    assert answer.status_code == 409


async def deploy(client: httpx.AsyncClient, adapter_id: str, tag: str, live: bool = True) -> dict[str, Any]:
    body = {"tag": tag, "host": "http://127.0.0.1:11434", "live": live, "smoke": {"ok": True, "forced": "a rehearsal"}}
    answer = await client.post(f"/adapters/{adapter_id}/deployments", json=body)
    assert answer.status_code == 201, answer.text
    deployed: dict[str, Any] = answer.json()
    return deployed


async def test_a_live_deployment_retires_the_one_before(client: httpx.AsyncClient) -> None:
    later = "personality-20260202T120000"
    await register(client)
    await register(client, adapter_id=later)
    first = await deploy(client, ADAPTER, "casiopy:latest")
    assert first["live"]
    aside = await deploy(client, later, "casiopy:candidate", live=False)
    assert not aside["live"]
    await deploy(client, later, "casiopy:latest")
    items = (await client.get("/deployments")).json()["items"]
    assert [(item["adapter_id"], item["tag"], item["live"]) for item in items] == [
        (later, "casiopy:latest", True),
        (later, "casiopy:candidate", False),
        (ADAPTER, "casiopy:latest", False),
    ]
    assert items[2]["retired_at"] is not None
    assert {item["smoke"]["forced"] for item in items} == {"a rehearsal"}  # why the gate was overruled stays on record
    assert (await client.get(f"/adapters/{ADAPTER}")).json()["status"] == "retired"
    current = (await client.get(f"/adapters/{later}")).json()
    assert (current["status"], len(current["deployments"])) == ("deployed", 2)


async def test_a_tainted_adapter_is_not_deployed(client: httpx.AsyncClient, superuser: AsyncEngine, owner: str) -> None:
    await register(client)
    async with superuser.begin() as connection:
        await connection.execute(
            text("UPDATE lora_versions SET tainted_at = now() WHERE owner_id = :owner"), {"owner": owner}
        )
    body = {"tag": "casiopy:latest", "host": "http://127.0.0.1:11434", "live": True}
    answer = await client.post(f"/adapters/{ADAPTER}/deployments", json=body)
    assert answer.status_code == 409
    assert "erased" in answer.json()["detail"]


async def test_unknown_adapters_are_not_found(client: httpx.AsyncClient) -> None:
    body = {"tag": "a", "host": "b", "live": True}
    answers = [
        await client.get(f"/adapters/{ADAPTER}"),
        await client.post(f"/adapters/{ADAPTER}/report", json=report()),
        await client.post(f"/adapters/{ADAPTER}/deployments", json=body),
        await client.get(f"/lineage/adapter/{ADAPTER}"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 4


async def test_an_unknown_persona_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/adapters", json=manifest(persona="nobody"))
    assert answer.status_code == 404
    assert "nobody" in answer.json()["detail"]


def changed(document: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The document with one value replaced, or removed with `...`."""
    result = copy.deepcopy(document)
    *parents, last = path.split(".")
    target = result
    for parent in parents:
        target = target[parent]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return result


BROKEN_MANIFESTS: list[tuple[str, object]] = [
    *((key, ...) for key in manifest()),
    ("schema", "casiopy/adapter-v2"),
    ("adapter_id", "Personality"),
    ("adapter_id", "../etc-20260201T120000"),
    ("layer", 4),
    ("layer", "1"),
    ("week", {"year": 2026, "number": 54}),
    ("week", {"year": 2026}),
    ("parent", {"adapter_id": "x"}),
    ("parent", {"adapter_id": "x", "weights_sha256": "short"}),
    ("dataset.rows", 0),
    ("dataset.sha256", None),
    ("replay", [{"export_id": "e", "share": 1.5, "rows": 3}]),
    ("recipe.config", []),
    ("pins", {"peft": 21}),
    ("lora.r", 0),
    ("lora.lora_dropout", 1),
    ("lora.target_modules", []),
    ("weights", None),
    ("result", None),
    ("result.seconds", -1),
    ("created_at", "yesterday"),
    ("finished_at", None),
]
REBUILT_WEEK = {
    "year": 2026,
    "number": 4,
    "export_id": "episodic-2026-w04-1a2b3c4d",
    "sha256": A,
    "share": 0.5,
    "rows": 6,
    "of": 12,
}
VALID_MANIFESTS: list[tuple[str, object]] = [
    ("layer", 2),
    ("week", {"year": 2026, "number": 4}),
    ("parent", {"adapter_id": "personality-20260101T000000", "weights_sha256": A}),
    ("dataset.export_id", "personality-1a2b3c4d"),
    ("replay", [{"export_id": "personality-1a2b3c4d", "share": 0.3, "rows": 12}]),
    ("replay", [{"kind": "general", "export_id": "general-1a2b3c4d.jsonl", "sha256": A, "share": 0.05, "rows": 3}]),
    ("layer", 3),
    ("kind", "skill"),
    ("skill", "tarot"),
    ("rebuild", {"half_life_weeks": 8.0, "weeks": [REBUILT_WEEK]}),
    ("result.eval_loss", 2),
    ("base_model.sha256", None),
    ("further", {"anything": True}),
]
BROKEN_REPORTS: list[tuple[str, object]] = [
    *((key, ...) for key in report()),
    ("verdict", "maybe"),
    ("candidate.adapter_id", 3),
    ("candidate.weights_sha256", "short"),
    ("hard_fails", {}),
    ("seed", "7"),
]


@pytest.mark.parametrize(
    ("model", "schema", "document", "path", "value", "valid"),
    [
        *((AdapterManifest, "adapter-v1", manifest(), path, value, False) for path, value in BROKEN_MANIFESTS),
        *((AdapterManifest, "adapter-v1", manifest(), path, value, True) for path, value in VALID_MANIFESTS),
        *((GateReport, "report-v1", report(), path, value, False) for path, value in BROKEN_REPORTS),
        (GateReport, "report-v1", report(), "further", 1, True),
        (GateReport, "report-v1", report(), "golden", report()["candidate"], True),
        (GateReport, "report-v1", report(), "not_measured", [{"name": "x", "title": "X", "reason": "no data"}], True),
    ],
)
def test_the_service_and_the_schema_files_agree(
    model: type[BaseModel], schema: str, document: dict[str, Any], path: str, value: object, valid: bool
) -> None:
    variant = changed(document, path, value)
    validator = jsonschema.Draft202012Validator(
        json.loads((SCHEMAS / f"{schema}.schema.json").read_text(encoding="utf-8"))
    )
    assert validator.is_valid(variant) == valid
    if valid:
        assert model.model_validate(variant).model_dump(mode="json", by_alias=True) == variant
    else:
        with pytest.raises(ValidationError):
            model.model_validate(variant)


async def test_unfinished_runs_and_nan_are_refused(client: httpx.AsyncClient) -> None:
    running = manifest(status="running", weights=None, result=None, finished_at=None)
    answer = await client.post("/adapters", json=running)
    assert answer.status_code == 400
    assert "status" in answer.json()["detail"]
    body = json.dumps(manifest(extra="NAN")).replace('"NAN"', "NaN")
    answer = await client.post("/adapters", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
