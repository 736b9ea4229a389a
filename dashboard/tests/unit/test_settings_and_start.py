"""Settings are checked at the start, and a start that cannot succeed says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner
from persona_dashboard.cli import dashboard
from persona_dashboard.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_defaults_stay_on_this_machine() -> None:
    settings = load_settings()
    assert (settings.dashboard_host, settings.dashboard_port) == ("127.0.0.1", 5000)
    assert settings.is_loopback


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_dotenv_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("DASHBOARD_PORT=5055\nAPI_KEY=\nOTHER=1\n", encoding="utf-8")
    monkeypatch.setenv("MEMORY_SERVICE_URL", "http://memory:8820/")
    settings = load_settings()
    assert (settings.dashboard_port, settings.memory_service_url, settings.api_key) == (
        5055,
        "http://memory:8820",
        None,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("DASHBOARD_PORT", "many"), ("DASHBOARD_PORT", "70000"), ("MEMORY_SERVICE_URL", "memory:8820")],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()
    result = CliRunner().invoke(dashboard)
    assert result.exit_code == 1
    assert name in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("host", "loopback", "trusted"),
    [
        ("127.0.0.1", True, "127.0.0.1"),
        ("::1", True, "::1"),
        ("localhost", True, "localhost"),
        ("192.168.1.20", False, "192.168.1.20"),
        ("Casa.lan", False, "casa.lan"),
        ("0.0.0.0", False, "localhost"),
    ],
)
def test_hosts(host: str, loopback: bool, trusted: str) -> None:
    settings = Settings(dashboard_host=host)
    assert settings.is_loopback == loopback
    assert trusted in settings.trusted_hosts
    assert "0.0.0.0" not in settings.trusted_hosts


def test_a_taken_port_is_explained() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = CliRunner().invoke(dashboard, ["--port", str(port)])
    assert result.exit_code == 1
    assert f"Port {port} on 127.0.0.1 is taken" in result.output
    assert "DASHBOARD_PORT" in result.output


def test_an_address_of_another_machine_is_explained() -> None:
    result = CliRunner().invoke(dashboard, ["--host", "192.0.2.1"])
    assert result.exit_code == 1
    assert "192.0.2.1" in result.output
    assert "Traceback" not in result.output
