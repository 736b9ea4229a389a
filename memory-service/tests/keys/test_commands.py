"""`casiopy keys …` as an operator types it, over a running service or without one."""

import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

ROOT = Path(__file__).parents[3]
Command = Callable[..., subprocess.CompletedProcess[str]]

# Below what systems hand out by themselves (32768 and up on Linux): between its choice and its use, some commands later, no
# connection of another process takes a port from here.
PORTS = range(12_000, 20_000)
# No proxy of the environment lies between, and a busy machine is no failure.
HERE: dict[str, Any] = {"trust_env": False, "timeout": 60}

GENERATED = re.compile(r"""API KEY GENERATED SUCCESSFULLY
API Key \(SAVE THIS - IT WILL NOT BE SHOWN AGAIN\):
  (?P<key>aimsk_live_[0-9a-f]{64})

Key ID:
  (?P<id>[0-9a-f-]{36})

Owner ID:
  (?P<owner>\S+)

Rate Limit:
  (?P<limit>\d+) requests/minute
""")


def free_port() -> int:
    """A port nobody listens on."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    pytest.fail(f"a hundred ports of {PORTS} are taken")


@pytest.fixture
def environment(open_folder: Path, owner: str) -> dict[str, str]:
    """Settings of a service with a folder of its own; `DATABASE_URL` empty means the embedded database there."""
    folder = open_folder / f"keys-{uuid4().hex[:8]}"
    plain = {name: value for name, value in os.environ.items() if name not in {"API_HOST", "API_KEY", "DATABASE_URL"}}
    return plain | {
        "CASIOPY_DATA": str(folder),
        "API_PORT": str(free_port()),
        "DEFAULT_OWNER": owner,
        "EMBEDDING_MODEL": "packaged:none",
        "WORKER_IN_PROCESS": "false",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def run_keys(environment: dict[str, str]) -> Command:
    """Runs `python -m memory_service keys …`."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "memory_service", "keys", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment | changes, capture_output=True, text=True, timeout=200, check=False
        )

    return run


def test_generate_list_and_revoke(
    run_keys: Command, migrated_url: str, owner: str, environment: dict[str, str]
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_keys(*arguments, DATABASE_URL=migrated_url)

    made = run("generate", owner, "--rate-limit", "120", "--metadata", '{"plan": "pro"}')
    assert made.returncode == 0, made.stderr
    shown = GENERATED.fullmatch(made.stdout)
    assert shown, made.stdout
    assert (shown["owner"], shown["limit"], made.stderr) == (owner, "120", "")
    table = run("list", owner).stdout
    assert table.splitlines()[0].split()[:3] == ["KEY", "ID", "CREATED"]
    assert re.search(rf'{shown["id"]}  20\d\d-.* UTC  -  +-  +120 +{{"plan": "pro"}}$', table, re.M)
    revoked = run("revoke", shown["id"])
    assert (revoked.returncode, revoked.stderr) == (0, "")
    (listed,) = json.loads(run("list", owner, "--json").stdout)
    assert (listed["id"], listed["metadata"], listed["last_used_at"]) == (shown["id"], {"plan": "pro"}, None)
    assert listed["revoked_at"] is not None
    again = run("revoke", shown["id"])
    assert again.returncode == 1
    assert "already" in again.stderr
    logs = "".join(path.read_text() for path in Path(environment["CASIOPY_DATA"], "logs").iterdir())
    assert f"Key {shown['id']} was generated" in logs
    assert f"Key {shown['id']} of owner '{owner}' was revoked" in logs
    for text in (table, json.dumps(listed), revoked.stdout, again.stderr, logs):
        assert shown["key"] not in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("generate", "x", "--metadata", "{plan: pro}"), "not JSON"),
        (("generate", "x", "--rate-limit", "0"), "not in the range"),
        (("generate", " "), "1 to 255"),
        (("revoke", "01a1fc30-7bd7-76f0-a8e0-2b71b539e9e4"), "No key has the id"),
    ],
)
def test_mistakes_are_said_clearly(
    run_keys: Command, migrated_url: str, arguments: tuple[str, ...], complaint: str
) -> None:
    refused = run_keys(*arguments, DATABASE_URL=migrated_url)
    assert refused.returncode in {1, 2}
    assert complaint in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


def test_a_database_that_is_away_is_said_clearly(run_keys: Command) -> None:
    refused = run_keys("list", "x", DATABASE_URL="postgresql://nobody:secret@127.0.0.1:9/none")
    assert refused.returncode == 1
    assert "Check DATABASE_URL" in refused.stderr
    assert "secret" not in refused.stderr
    assert "Traceback" not in refused.stderr


@contextmanager
def _serving(environment: dict[str, str]) -> Iterator[str]:
    """`casiopy serve`; yields its URL."""
    command, url = [sys.executable, "-m", "memory_service", "serve"], f"http://127.0.0.1:{environment['API_PORT']}"
    log = Path(environment["CASIOPY_DATA"]) / "serve.out"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=sink, stderr=sink)
        try:
            deadline = time.monotonic() + 200
            while not _answers(url):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", **HERE).is_success
    except httpx.TransportError:
        return False


def test_keys_open_a_door_that_is_shut_without_them(run_keys: Command, environment: dict[str, str], owner: str) -> None:
    """From nothing to a service other machines can call: the first key before it starts, the second while it runs."""
    environment["API_HOST"] = "0.0.0.0"
    shut = subprocess.run(
        [sys.executable, "-m", "memory_service", "serve"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert shut.returncode == 1
    assert "casiopy keys generate OWNER" in shut.stderr
    first = GENERATED.fullmatch(run_keys("generate", owner).stdout)
    assert first
    with _serving(environment) as url:
        second = GENERATED.fullmatch(run_keys("generate", f"{owner}-2").stdout)
        assert second

        def status(key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            return httpx.get(f"{url}/api/v1/personas", headers=headers, **HERE).status_code

        assert httpx.get(f"{url}/api/v1/personas", **HERE).status_code == 401
        assert (status(first["key"]), status(second["key"])) == (200, 200)
        assert run_keys("revoke", second["id"]).returncode == 0
        assert (status(first["key"]), status(second["key"])) == (200, 401)
        assert json.loads(run_keys("list", owner, "--json").stdout)[0]["last_used_at"] is not None
