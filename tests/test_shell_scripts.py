"""The scripts a person runs by hand: backup, restore and the preparation for training."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from memory_service.embedded import EmbeddedPostgres
from memory_service.schema import migrate

from casiopy.cli import main as casiopy

ROOT = Path(__file__).parent.parent
SCRIPTS = ("backup_daily.sh", "backup_weekly.sh", "restore_backup.sh", "setup_training.sh")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_run_and_parsed(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert len(lines) <= 40
    subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A folder with the scripts, as a checkout has them, and a database with one row in it."""
    memory = Path("/dev/shm")  # where it is large enough, the disk of a busy machine is not waited for
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1024**3
    folder = Path(tempfile.mkdtemp(prefix="casiopy-scripts-", dir=memory if roomy else None))
    folder.chmod(0o755)
    for script in SCRIPTS:
        shutil.copy(ROOT / script, folder)
    yield folder
    shutil.rmtree(folder)


def _run(checkout: Path, script: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    foreign = ("DATABASE_URL", "CASIOPY_DATA", "BACKUPS_DIR", "BACKUP_RECIPIENT", "API_HOST")
    env = {name: value for name, value in os.environ.items() if name not in foreign} | {"PYTHON": sys.executable}
    return subprocess.run(
        [str(checkout / script), *arguments], cwd=cwd or checkout, env=env, capture_output=True, text=True, check=False
    )


def test_what_daily_and_weekly_save_restore_brings_back(checkout: Path) -> None:
    data = checkout / ".casiopy" / "postgres"
    with EmbeddedPostgres(data) as server:
        asyncio.run(migrate(server.url))
        server.psql("INSERT INTO owners (id) VALUES ('mortal')")
    for script, kind in (("backup_daily.sh", "daily"), ("backup_weekly.sh", "weekly")):
        done = _run(checkout, script, cwd=Path("/"))
        assert done.returncode == 0, done.stderr
        with EmbeddedPostgres(data) as server:
            server.psql("DROP DATABASE casiopy", database="postgres")
        command = re.search(r"\./restore_backup\.sh (\S+)", done.stdout)
        assert command is not None
        restored = _run(checkout, "restore_backup.sh", f"./{command[1]}")
        assert restored.returncode == 0, restored.stderr
        assert (checkout / "backups" / kind).is_dir()
        with EmbeddedPostgres(data) as server:
            assert server.psql("SELECT count(*) FROM owners WHERE id = 'mortal'") == "1"


def test_restore_without_a_path_shows_how(checkout: Path) -> None:
    (checkout / "backups" / "daily").mkdir(parents=True)
    (checkout / "backups" / "daily" / "memory_daily_20260318_120000.dump").touch()
    done = _run(checkout, "restore_backup.sh")
    assert done.returncode == 2
    assert "Usage: ./restore_backup.sh BACKUP" in done.stderr
    assert "backups/daily/memory_daily_20260318_120000.dump" in done.stderr


def test_restore_understands_a_path_from_where_you_are(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.dump").write_bytes(b"not a dump")
    done = _run(checkout, "restore_backup.sh", "elsewhere.dump", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "pg_restore failed" in done.stderr
    missing = _run(checkout, "restore_backup.sh", "nowhere.dump", cwd=tmp_path)
    assert "There is no backup nowhere.dump" in missing.stderr


# --- setup_training.sh and its Windows twin

_RECORDING_PYTHON = """#!/usr/bin/env bash
echo "$(basename "$(dirname "$0")") $*" >> "{record}"
if [ "$1" = -m ] && [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; fi
[ "$1" != -c ] || exit {version_check}
"""


def _setup(checkout: Path, version_check: int) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    record = checkout / "record"
    fake = checkout / "fake" / "python3"
    fake.parent.mkdir()
    fake.write_text(_RECORDING_PYTHON.format(record=record, version_check=version_check))
    fake.chmod(0o755)
    done = subprocess.run(
        [str(checkout / "setup_training.sh")],
        env=os.environ | {"PYTHON": str(fake)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, record.read_text().splitlines()


def test_setup_installs_torch_first_then_the_package_then_looks(checkout: Path) -> None:
    done, calls = _setup(checkout, version_check=0)
    assert done.returncode == 0, done.stderr
    pip = "bin -m pip install --disable-pip-version-check --quiet"
    assert calls[1:] == [
        "fake --version", "fake -m venv .venv",
        f"{pip} torch==2.13.0", f"{pip} -c constraints.txt -e . -e training", "bin -m persona_training doctor",
    ]  # fmt: skip


def test_setup_refuses_an_old_python(checkout: Path) -> None:
    done, calls = _setup(checkout, version_check=1)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert len(calls) == 1, "nothing is installed"


def test_the_windows_twin_does_the_same() -> None:
    raw = (ROOT / "setup_training.bat").read_bytes()
    assert raw.count(b"\r\n") == raw.count(b"\n"), "cmd.exe wants CRLF"
    steps = re.compile(
        r"version_info < \(3, 11\)|-m venv|torch==[\d.]+|-c constraints\.txt -e \. -e training|persona_training doctor"
    )
    twin = steps.findall(raw.decode())
    assert twin == steps.findall((ROOT / "setup_training.sh").read_text(encoding="utf-8"))
    assert len(twin) == 5
    assert len(raw.splitlines()) <= 40


def test_torch_is_the_same_everywhere() -> None:
    files = ("Makefile", "setup_training.sh", "setup_training.bat", "memory-service/Dockerfile")
    versions = {name: set(re.findall(r"torch==([\d.]+)", (ROOT / name).read_text(encoding="utf-8"))) for name in files}
    assert len(set.union(*versions.values())) == 1, versions


# --- docs/operations.md


def _operations_commands() -> list[str]:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:bash|cron)\n(.*?)```", page, re.DOTALL)
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def test_every_command_of_the_operations_page_exists() -> None:
    services = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"])
    checked = 0
    for line in _operations_commands():
        if script := re.match(r"\./(\w+\.sh)", line):
            assert (ROOT / script[1]).exists(), line
        if words := re.search(r"(?:bin/|^|memory-backup )(?:casiopy )?((?:backup|restore)\b.*)", line):
            _resolve(words[1].split())
            checked += 1
        if line.startswith("docker compose"):
            named = set(re.findall(r"\b(?:memory-\w+|dashboard)\b", line))
            assert named <= services, line
    assert checked >= 8


def _resolve(words: list[str]) -> None:
    command: click.Command | None = casiopy
    while words and isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, words
    options = {name for parameter in command.params for name in parameter.opts} if command else set()
    assert {word for word in words if word.startswith("--")} <= options, words


def test_the_operations_page_explains_every_script() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for script in ("backup_daily.sh", "backup_weekly.sh", "restore_backup.sh"):
        assert f"./{script}" in page
    for path in re.findall(r"\]\(([^)#]+)\)", page):
        assert (ROOT / "docs" / path).exists(), path
