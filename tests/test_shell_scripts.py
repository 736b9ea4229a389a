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
case "$1" in *torch_choice.py) exec "{python}" -c "{on_a_large_disk}" "$@";; esac
[ "$1" != -c ] || exit {version_check}
"""
_ON_A_LARGE_DISK = (
    "import runpy, shutil, sys, types; shutil.disk_usage = lambda _: types.SimpleNamespace(free=1 << 40); "
    "sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
)
_OLD_DRIVER = """#!/usr/bin/env bash
[ $# = 0 ] && echo "| NVIDIA-SMI 550.54  Driver Version: 550.54  CUDA Version: {cuda}  |" || echo "550.54, 8.6"
"""
_PIP = "bin -m pip install --disable-pip-version-check --quiet"


def _setup(
    checkout: Path, version_check: int = 0, cuda: str | None = None, **chosen: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the script with a Python and a driver that only write down what they are asked; nothing is installed.

    The disk it would be installed on has room, whatever this machine's has.
    """
    record = checkout / "record"
    python = _RECORDING_PYTHON.format(
        record=record, python=sys.executable, on_a_large_disk=_ON_A_LARGE_DISK, version_check=version_check
    )
    fakes = {"python3": python}
    if cuda:
        fakes["nvidia-smi"] = _OLD_DRIVER.format(cuda=cuda)
    for name, text in fakes.items():
        fake = checkout / "fake" / name
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(text)
        fake.chmod(0o755)
    chooser = checkout / "training" / "src" / "persona_training" / "torch_choice.py"
    chooser.parent.mkdir(parents=True)
    shutil.copy(ROOT / chooser.relative_to(checkout), chooser)
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("TORCH_PIP_ARGS", "UNSLOTH", "SMOKE")
    }
    path = f"{checkout / 'fake'}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(checkout / "setup_training.sh")],
        env=inherited | {"PYTHON": str(checkout / "fake" / "python3"), "PATH": path} | chosen,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, record.read_text().splitlines()


def test_setup_installs_torch_first_then_the_package_then_takes_real_steps(checkout: Path) -> None:
    done, calls = _setup(checkout, TORCH_PIP_ARGS="")
    assert done.returncode == 0, done.stderr
    assert calls[1:] == [
        "fake --version", "fake -m venv .venv",
        f"{_PIP} torch==2.13.0", f"{_PIP} -c constraints.txt -e . -e training[tensorboard]",
        "bin -m persona_training doctor --smoke",
    ]  # fmt: skip
    assert "TORCH_PIP_ARGS decides (empty)" in done.stderr


def test_setup_chooses_the_build_for_the_driver_and_says_why(checkout: Path) -> None:
    done, calls = _setup(checkout, cuda="12.4", UNSLOTH="1", SMOKE="0")
    assert done.returncode == 0, done.stderr
    assert f"{_PIP} --index-url https://download.pytorch.org/whl/cu126 torch==2.13.0" in calls
    assert "torch: driver 550.54 runs CUDA 12.4: the build for CUDA 12.6" in done.stderr
    assert "1024 GiB free in ., about" in done.stderr
    assert f"{_PIP} --no-deps -r training/requirements-unsloth.txt" in calls
    assert calls[-1] == "bin -m persona_training doctor"


def test_what_the_operator_chose_wins_over_the_driver(checkout: Path) -> None:
    _, calls = _setup(checkout, cuda="12.4", TORCH_PIP_ARGS="--index-url https://example.org/own")
    assert f"{_PIP} --index-url https://example.org/own torch==2.13.0" in calls
    assert not [call for call in calls if "torch_choice" in call]


def test_setup_stops_at_a_driver_too_old_for_any_build(checkout: Path) -> None:
    done, calls = _setup(checkout, cuda="11.4")
    assert done.returncode == 1
    assert "needs driver 525 or newer" in done.stderr
    assert not [call for call in calls if "pip install" in call], "nothing is installed"


def test_setup_refuses_an_old_python(checkout: Path) -> None:
    done, calls = _setup(checkout, version_check=1)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert len(calls) == 1, "nothing is installed"


def test_the_windows_twin_does_the_same() -> None:
    raw = (ROOT / "setup_training.bat").read_bytes()
    assert raw.count(b"\r\n") == raw.count(b"\n"), "cmd.exe wants CRLF"
    steps = re.compile(
        r"version_info < \(3, 11\)|torch_choice\.py \.|-m venv|torch==[\d.]+"
        r"|-c constraints\.txt -e \. -e \"training\[tensorboard\]\""
        r"|--no-deps -r training[/\\]requirements-unsloth\.txt|--smoke|persona_training doctor"
    )
    twin = [step.replace("\\", "/") for step in steps.findall(raw.decode())]
    assert twin == steps.findall((ROOT / "setup_training.sh").read_text(encoding="utf-8"))
    assert len(twin) == 8
    assert len(raw.splitlines()) <= 40


def test_torch_is_the_same_everywhere() -> None:
    checks = "training/src/persona_training/pin_checks.py"
    files = ("Makefile", "setup_training.sh", "setup_training.bat", "memory-service/Dockerfile", checks)
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
