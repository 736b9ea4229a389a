"""The three packages meet at HTTP and at files, never by import; pure cores know no web framework, database or torch."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "memory_service": ROOT / "memory-service" / "src" / "memory_service",
    "persona_training": ROOT / "training" / "src" / "persona_training",
    "persona_dashboard": ROOT / "dashboard" / "src" / "persona_dashboard",
}
SERVICE = PACKAGES["memory_service"]
PURE = [
    *sorted((SERVICE / "scoring").glob("*.py")),
    *(SERVICE / "exports" / f"{name}.py" for name in ("redaction", "selection", "splitting", "formats", "weeks")),
    SERVICE / "core_memory" / "prompt.py",
]
IMPURE = {"fastapi", "starlette", "sqlalchemy", "asyncpg", "torch", "transformers", "flask", "httpx", "pgqueuer"}


def imported(path: Path) -> set[str]:
    """Top-level names of every module `path` imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_another(package: str) -> None:
    others = set(PACKAGES) - {package}
    guilty = {path: names for path in PACKAGES[package].rglob("*.py") if (names := imported(path) & others)}
    assert not guilty


def test_the_front_imports_none_of_them() -> None:
    guilty = {path: names for path in (ROOT / "casiopy").rglob("*.py") if (names := imported(path) & set(PACKAGES))}
    assert not guilty


@pytest.mark.parametrize("path", PURE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_pure_cores_stay_pure(path: Path) -> None:
    assert not imported(path) & IMPURE
