"""A Casiopy of each test's own, with a little story in its embedded database, and the commands a person types."""

import asyncio
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from memory_service.backup import backup_commands
from memory_service.embedded import EmbeddedPostgres
from memory_service.schema import migrate

Casiopy = Callable[..., Result]

STORY = """
    INSERT INTO owners (id) VALUES ('local') ON CONFLICT DO NOTHING;
    INSERT INTO personas (id, owner_id, slug, name, language)
    VALUES ('019a0000-0000-7000-8000-000000000001', 'local', 'casiopy', 'Casiopy', 'es');
    INSERT INTO core_memory (id, owner_id, persona_id, category, key, value, is_mutable)
    SELECT gen_random_uuid(), 'local', '019a0000-0000-7000-8000-000000000001', 'like', 'key ' || n, 'Rust, ¡claro!', false
    FROM generate_series(1, 25) AS n;
"""


@pytest.fixture
def story() -> str:
    """SQL that gives a migrated database its story."""
    return STORY


@pytest.fixture(scope="module")
def seed_data(open_folder: Path) -> Iterator[Path]:
    """Data folder of a stopped, migrated embedded server with a little story in it; copied for each test."""
    home = open_folder / "seed"
    with EmbeddedPostgres(home / "postgres", settings={"fsync": "off"}) as server:
        asyncio.run(migrate(server.url))
        server.psql(STORY)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def home(
    seed_data: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """A Casiopy of this test's own: CASIOPY_DATA with the story, BACKUPS_DIR empty, nothing running."""
    path = open_folder / f"home-{abs(hash(request.node.nodeid)):x}"
    subprocess.run(["cp", "-a", str(seed_data), str(path)], check=True)
    monkeypatch.chdir(path)
    for name in ("DATABASE_URL", "BACKUP_RECIPIENT", "BACKUP_IDENTITY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CASIOPY_DATA", str(path))
    monkeypatch.setenv("BACKUPS_DIR", str(path / "backups"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """The commands send the logs of the whole process elsewhere; bring them back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def casiopy(home: Path) -> Casiopy:
    """Runs `casiopy ARGUMENTS` in that home and demands an exit code."""
    group = click.Group(commands={command.name or "": command for command in backup_commands})

    def run(*arguments: str | Path, expect: int = 0) -> Result:
        result = CliRunner().invoke(group, [str(argument) for argument in arguments])
        assert result.exit_code == expect, result.output
        return result

    return run
