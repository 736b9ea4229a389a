"""`casiopy` finds the commands of whatever is installed, and says what to do when something is wrong."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from casiopy.stack import Stack

ROOT = Path(__file__).parent.parent


def casiopy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "casiopy", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_lists_the_commands_of_every_package() -> None:
    shown = casiopy("--help")
    assert shown.returncode == 0
    for command in (
        "serve",
        "worker",
        "migrate",
        "backup",
        "export",
        "gate",
        "deploy",
        "doctor",
        "dashboard",
        "up",
        "demo",
    ):
        assert f"\n  {command} " in shown.stdout, f"{command} is missing:\n{shown.stdout}"
    assert "are missing" not in shown.stdout


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"API_HOST": "0.0.0.0"}, "set API_KEY, or bind 127.0.0.1"),
        ({"CORS_ORIGINS": "*"}, "name each origin"),
        ({"API_PORT": "99999"}, "API_PORT"),
        ({"DATABASE_URL": "mysql://x/y"}, "needs PostgreSQL"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(environment: dict[str, str], expected: str, tmp_path: Path) -> None:
    refused = casiopy("serve", CASIOPY_DATA=str(tmp_path), **environment)
    assert refused.returncode == 1
    assert expected in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_database_that_is_away_is_said_clearly(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    away = f"postgresql://nobody:secret@127.0.0.1:{port}/nothing"
    refused = casiopy("migrate", DATABASE_URL=away, CASIOPY_DATA=str(tmp_path))
    assert refused.returncode == 1
    assert "Check DATABASE_URL" in refused.stderr
    assert "secret" not in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr


def test_a_taken_port_names_the_setting_to_change(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        refused = casiopy("up", API_PORT=port, CASIOPY_DATA=str(tmp_path))
    assert refused.returncode == 1
    assert "API_PORT=" in refused.stderr


def test_the_env_example_is_what_the_settings_say() -> None:
    printed = casiopy("env-example")
    assert printed.stdout == (ROOT / ".env.example").read_text(encoding="utf-8"), "run `make generate`"


def test_the_stack_reads_the_settings_file_as_its_parts_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_PORT", "API_KEY", "EXPORTS_DIR", "CASIOPY_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DASHBOARD_PORT", "5999")
    (tmp_path / ".env").write_text("API_PORT=8999\nDASHBOARD_PORT=1\nAPI_KEY=secret\nEXPORTS_DIR=\n")
    stack = Stack(tmp_path)
    assert stack.api_url == "http://127.0.0.1:8999"
    assert stack.dashboard_url == "http://127.0.0.1:5999"
    assert stack.api_key == "secret"
    assert stack.exports == tmp_path / "exports"
