"""`02_populate_core_memory.sql` on a real, migrated PostgreSQL: complete, repeatable, and usable by the scorer."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from memory_service.embedded import EmbeddedPostgres
from memory_service.schema import migrate
from memory_service.scoring import PersonaStyle

SCRIPT = Path(__file__).parent.parent / "init-scripts" / "02_populate_core_memory.sql"
CATEGORIES = {"identity", "personality", "like", "dislike", "friend", "lore", "speech_style", "boundary", "goal"}
NEVER_MUTABLE = {"identity", "personality", "speech_style", "boundary"}
UNFILLED = "unfilled"
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="casiopy-core-memory-"))
    folder.chmod(0o755)  # a server started by root runs as another user
    with EmbeddedPostgres(folder / "database", settings=UNSAFE_BUT_FAST) as running:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, migrate(running.url)).result()
        name = running.psql("SELECT current_database()").strip()
        running.psql(f"CREATE DATABASE {UNFILLED} TEMPLATE {name}")
        running.psql(SCRIPT.read_text(encoding="utf-8"))
        yield running
    shutil.rmtree(folder)


def rows(server: EmbeddedPostgres, query: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(
        server.psql(f"SELECT coalesce(json_agg(row), '[]') FROM ({query}) AS row").strip()
    )
    return found


def entries(server: EmbeddedPostgres) -> list[dict[str, str]]:
    return rows(server, "SELECT id, category, key, value, is_mutable FROM core_memory ORDER BY id")


def test_it_fills_every_category_of_the_default_persona(server: EmbeddedPostgres) -> None:
    assert len(entries(server)) >= 35
    assert {entry["category"] for entry in entries(server)} == CATEGORIES
    personas = rows(server, "SELECT owner_id, slug, name, language FROM personas")
    assert personas == [{"owner_id": "local", "slug": "casiopy", "name": "Casiopy", "language": "es"}]


def test_who_she_is_is_immutable_and_what_she_wants_is_not(server: EmbeddedPostgres) -> None:
    mutable = {(entry["category"], entry["key"]) for entry in entries(server) if entry["is_mutable"]}
    assert not {category for category, _ in mutable} & NEVER_MUTABLE
    assert sum(category == "goal" for category, _ in mutable) >= 2


def test_values_are_sentences_and_ids_are_uuid7(server: EmbeddedPostgres) -> None:
    for entry in entries(server):
        assert entry["value"][0].isupper(), entry
        assert entry["value"].endswith("."), entry
        assert len(entry["value"].split()) >= 6, entry
        identifier = UUID(entry["id"])
        assert (identifier.version, identifier.variant) == (7, "specified in RFC 4122")


def test_running_it_again_changes_nothing_and_keeps_edits(server: EmbeddedPostgres) -> None:
    server.psql("UPDATE core_memory SET value = 'Este mes descansas.' WHERE category = 'goal' AND key = 'january_run'")
    before = entries(server)
    server.psql(SCRIPT.read_text(encoding="utf-8"))
    assert entries(server) == before
    assert "Este mes descansas." in {entry["value"] for entry in before}


def test_a_persona_that_exists_under_another_id_is_filled_and_kept(server: EmbeddedPostgres) -> None:
    hers = "019b0000-0000-7000-8000-000000000001"
    server.psql(
        "INSERT INTO owners (id) VALUES ('local'); INSERT INTO personas (id, owner_id, slug, name) "
        f"VALUES ('{hers}', 'local', 'casiopy', 'Casi'); {SCRIPT.read_text(encoding='utf-8')}",
        database=UNFILLED,
    )
    filled = server.psql("SELECT DISTINCT persona_id FROM core_memory", database=UNFILLED).split()
    assert filled == [hers]
    assert server.psql("SELECT name FROM personas", database=UNFILLED).strip() == "Casi"


def test_the_scorer_understands_her_style(server: EmbeddedPostgres) -> None:
    found = json.loads(server.psql("SELECT settings FROM personas WHERE slug = 'casiopy'").strip())
    style = PersonaStyle.from_settings(found)
    assert style.languages == ("es", "en")
    assert style.length_words == (5, 45)
    hers = "*suspiro* ay, mortal, qué ilusión. mira, obvio, criatura *bosteza*"
    assert sum(bool(marker.search(hers)) for marker in style.markers) >= 6
