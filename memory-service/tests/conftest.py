"""A real PostgreSQL for the tests: an embedded one for the whole run, or the one TEST_DATABASE_URL names."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_service.embedded import EmbeddedPostgres

# Tests make and drop whole databases; nothing in them must survive a crash of the machine.
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every system user can reach, unlike pytest's own: a server started by root runs as another user."""
    folder = Path(tempfile.mkdtemp(prefix="casiopy-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def database_url(open_folder: Path) -> Iterator[str]:
    """SQLAlchemy URL of a superuser on a server with pgvector, started once for all tests."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    with EmbeddedPostgres(open_folder / "database", settings=UNSAFE_BUT_FAST) as server:
        yield server.url
