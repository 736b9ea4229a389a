"""The HTTP seam: one document says what the service answers, and both clients ask only for what it names."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "reference" / "openapi.json"
CLIENTS = [ROOT / "training" / "src", ROOT / "dashboard" / "src" / "persona_dashboard" / "memory_client.py"]
NOUNS = (
    "core-memory|personas|sessions|interactions|users|stats|memory|recall|topics|exports|adapters|deployments|lineage"
)
SERVICE_PATH = re.compile(rf"/(?:api/v1/)?(?:{NOUNS})(?:/[\w{{}}-]+)*$")


def text_of(node: ast.expr) -> str | None:
    """A string literal, with every interpolation written as `{}`."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return None


def requested(source: Path) -> Iterator[str]:
    """Paths of the service that a client's source names as arguments of calls, or binds to a name."""
    files = sorted(source.rglob("*.py")) if source.is_dir() else [source]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            literals = node.args if isinstance(node, ast.Call) else [node.value] if isinstance(node, ast.Assign) else []
            for literal in literals:
                text = text_of(literal)
                if text is not None and SERVICE_PATH.fullmatch(text):
                    yield text.removeprefix("/api/v1")


def test_the_document_is_what_the_service_says() -> None:
    command = [sys.executable, "-m", "casiopy", "openapi"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    assert json.loads(printed) == json.loads(DOCUMENT.read_text(encoding="utf-8")), "run `make generate`"


@pytest.mark.parametrize("client", CLIENTS, ids=["training", "dashboard"])
def test_clients_ask_only_for_what_the_service_offers(client: Path) -> None:
    paths = json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    offered = {re.sub(r"\{\w+\}", "{}", path).removeprefix("/api/v1") for path in paths}
    asked = set(requested(client))
    assert len(asked) >= 3, "the client's requests were not recognised"
    assert asked <= offered
