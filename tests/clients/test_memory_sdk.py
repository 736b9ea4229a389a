"""The AI Memory SDK document: the lines it prints, with a key it tells how to make."""

import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pages import hold
from running import ROOT, Service

FRONT = [sys.executable, "-m", "casiopy"]

# Memory ids aside, the document's own lines: (command, promised part of the answer).
LINES: list[tuple[str, object]] = [
    (
        """curl -X POST https://your-api.com/api/v1/memory \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -d '{"user_id": "user_123", "content": "Test", "type": "fact"}'""",
        {"content": "Test", "type": "fact", "ingestion_mode": "explicit", "confidence": 1.0, "is_deleted": False},
    ),
    (
        """curl -X POST https://your-api.com/api/v1/memory \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -d '{"user_id": "user_123", "content": "Test", "type": "fact", "ingestion_mode": "rules"}'""",
        {"content": "Test", "ingestion_mode": "rules"},
    ),
    (
        """curl -X POST https://your-api.com/api/v1/memory \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -d '{"user_id": "user_123", "content": "Test", "type": "fact", "ingestion_mode": "automatic"}'""",
        {"detail": "Invalid ingestion_mode. Must be one of: explicit, rules"},
    ),
    (
        """curl -X POST http://localhost:10000/api/v1/memory \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "user_id": "user_123",
    "content": "User prefers dark mode and works in fintech",
    "type": "preference",
    "key": "ui_theme",
    "value": "dark",
    "importance": 4
  }'""",
        {
            "owner_id": "my_customer_001",
            "user_id": "user_123",
            "type": "preference",
            "key": "ui_theme",
            "value": "dark",
            "importance": 4,
            "metadata": {},
            "expires_at": None,
            "ttl_seconds": None,
        },
    ),
    (
        """curl -X POST http://localhost:10000/api/v1/memory \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -d '{
    "user_id": "user_123",
    "content": "Critical security preference",
    "type": "preference",
    "importance": 5
  }'""",
        {"importance": 5},
    ),
    (
        """curl -X POST https://ai-memory-sdk.onrender.com/api/v1/memory \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "user_id": "user_123",
    "content": "Prefers concise explanations",
    "memory_type": "preference"
  }'""",
        {"user_id": "user_123", "content": "Prefers concise explanations"},
    ),
    (
        """curl -X POST https://ai-memory-sdk.onrender.com/api/v1/memory/context \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "user_id": "user_123",
    "query": "What are the user preferences?",
    "limit": 5
  }'""",
        {"memories": [{"relevance_score": 0.5, "created_at": "2026-02-03T12:00:00Z"}]},
    ),
    (
        'curl -X GET "http://localhost:10000/api/v1/memory?user_id=user_123&limit=5" -H "Authorization: Bearer YOUR_API_KEY"',
        [{"owner_id": "my_customer_001", "user_id": "user_123"}] * 5,
    ),
    (
        """curl -X GET "http://localhost:10000/api/v1/memory/stats?user_id=user_123" \\
  -H "Authorization: Bearer YOUR_API_KEY\"""",
        {
            "total": 5,
            "deleted": 0,
            "expired": 0,
            "by_type": {"fact": 2, "preference": 3},
            "by_importance": {"4": 1, "5": 1},
        },
    ),
]
_HOSTS = re.compile(r"http://localhost:10000|https://[a-z.-]+\.com")


def keys(service: Service, *arguments: str) -> str:
    command = [*FRONT, "keys", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=service.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def made_key(service: Service, owner: str, *options: str) -> tuple[str, str]:
    """A key and its id, read off the screen as the document shows it."""
    shown = keys(service, "generate", owner, *options)
    assert "API KEY GENERATED SUCCESSFULLY" in shown
    key = re.search(r"IT WILL NOT BE SHOWN AGAIN\):\n  (aimsk_live_\w{32,})\n", shown)
    key_id = re.search(r"Key ID:\n  ([0-9a-f-]{36})\n", shown)
    assert key is not None
    assert key_id is not None
    assert f"Owner ID:\n  {owner}\n" in shown
    return key[1], key_id[1]


@pytest.fixture(scope="module")
def key(five_doors: Service) -> str:
    return made_key(five_doors, "my_customer_001", "--rate-limit", "60")[0]


def curl(line: str, service: Service, key: str) -> object:
    command = _HOSTS.sub(service.url, line).replace("YOUR_API_KEY", key).replace("curl ", "curl -s ", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    return httpx.Response(200, text=done.stdout).json()


def test_the_lines_work_as_printed_in_their_order(five_doors: Service, key: str) -> None:
    for line, promised in LINES:
        hold(curl(line, five_doors, key), promised, line.splitlines()[0])


def test_a_memory_with_a_time_to_live_leaves_every_answer(five_doors: Service, key: str) -> None:
    api = httpx.Client(base_url=f"{five_doors.url}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=30)
    lasting, brief = (
        api.post(
            "/memory",
            json={
                "user_id": "brief",
                "content": f"Session data for {seconds} s",
                "type": "event",
                "ttl_seconds": seconds,
            },
        ).json()
        for seconds in (86_400, 1)
    )
    expires = datetime.fromisoformat(brief["expires_at"])
    assert expires - datetime.fromisoformat(brief["created_at"]) == timedelta(seconds=1)
    time.sleep(max(0.0, (expires - datetime.now(UTC)).total_seconds()) + 0.1)
    listed = api.get("/memory", params={"user_id": "brief"}).json()
    assert [one["id"] for one in listed] == [lasting["memory_id"]]
    stats = api.get("/memory/stats", params={"user_id": "brief"}).json()
    assert (stats["total"], stats["expired"]) == (1, 1)


def test_a_key_is_limited_and_says_so(five_doors: Service) -> None:
    key, _ = made_key(five_doors, "hasty", "--rate-limit", "3", "--metadata", '{"plan": "pro"}')
    api = httpx.Client(base_url=five_doors.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
    answers = [api.get("/api/v1/memory", params={"user_id": "u"}) for _ in range(5)]
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers[:3]] == ["2", "1", "0"]
    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.json()["detail"] == "Rate limit exceeded"
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.headers["X-RateLimit-Limit"] == "3"
    assert int(refused.headers["X-RateLimit-Reset"]) > time.time() - 1
    assert api.get("/health").status_code == 200


def test_a_revoked_key_is_as_good_as_none(five_doors: Service) -> None:
    key, key_id = made_key(five_doors, "leaver")
    assert key_id in keys(five_doors, "list", "leaver")
    assert key not in keys(five_doors, "list", "leaver")
    keys(five_doors, "revoke", key_id)
    assert key_id in keys(five_doors, "list", "leaver")
    url = f"{five_doors.url}/api/v1/memory?user_id=u"
    presented = [
        {"Authorization": f"Bearer {key}"},
        {"Authorization": "Bearer aimsk_live_" + "0" * 32},
        {"Authorization": "Basic nonsense"},
        {},
    ]
    answers = [httpx.get(url, headers=headers, timeout=30) for headers in presented]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.json()["detail"] for answer in answers} == {"Authentication required"}
    assert len({answer.content for answer in answers}) == 1


def test_the_owner_comes_from_the_key_alone(five_doors: Service) -> None:
    mine, theirs = (made_key(five_doors, owner)[0] for owner in ("alpha", "beta"))
    body = {"user_id": "shared", "content": "alpha's secret", "type": "fact", "owner_id": "beta"}
    headers = {"Authorization": f"Bearer {mine}"}
    memory = httpx.post(f"{five_doors.url}/api/v1/memory", json=body, headers=headers, timeout=30).json()
    assert memory["owner_id"] == "alpha"
    other = httpx.Client(base_url=f"{five_doors.url}/api/v1", headers={"Authorization": f"Bearer {theirs}"}, timeout=30)
    assert other.get("/memory", params={"user_id": "shared"}).json() == []
    assert other.get(f"/memory/{memory['id']}").status_code == 404
    assert other.delete(f"/memory/{memory['id']}").status_code == 404
    assert other.get("/gdpr/export", params={"user_id": "shared"}).status_code == 404
