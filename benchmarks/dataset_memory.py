"""How much memory a dataset takes to make and to give out, by the number of exchanges it is made from.

What it does: for each size, a database of its own is filled with made-up exchanges (a tenth of them said again, each with a
vector), and a fresh process selects a personality dataset and then reads its train file as a client does. Peak memory is that
process's own (the database's is left out), the base is what it held before it began.

How to run it:   python benchmarks/dataset_memory.py [--exchanges 20000 100000] [--no-result]
"""

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from service_under_test import hardware

RESULTS = Path(__file__).parent / "results"
OWNER, PERSONA, MODEL = "local", UUID(int=1), 1
_SESSION, _VIEWERS, _DIMENSION, _AGAIN = 20, 500, 384, 0.1
_SYLLABLES = ("ga", "to", "lu", "na", "ve", "ri", "mo", "sa", "que", "bo", "ti", "ra", "pe", "cu", "no", "fi")
_BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
_QUALITY = json.dumps({"score": 0.9, "drops": [], "signals": [], "scorer_version": "made-up"})
_FIRST = f"""
    SET session_replication_role = replica;
    INSERT INTO owners (id) VALUES ('{OWNER}') ON CONFLICT DO NOTHING;
    INSERT INTO personas (id, owner_id, slug, name) VALUES ('{PERSONA}', '{OWNER}', 'casiopy', 'Casiopy');
    INSERT INTO embedding_models (id, name, dimension, active) OVERRIDING SYSTEM VALUE
    VALUES ({MODEL}, 'made-up', {_DIMENSION}, true);
"""


def _sentence(chance: random.Random, words: int) -> str:
    return " ".join("".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(words))


def _interactions(count: int) -> Iterator[tuple[object, ...]]:
    chance = random.Random(7)
    said: list[tuple[str, str]] = []
    for number in range(count):
        if said and chance.random() < _AGAIN:
            told = chance.choice(said)
        else:
            told = (f"¿{_sentence(chance, 10)}?", f"*suspiro* {_sentence(chance, 15)}, mortal.")
            said = [*said[-50:], told]
        session = number // _SESSION
        viewer = f"viewer-{session % _VIEWERS}"
        yield (
            UUID(int=10**9 + number), OWNER, PERSONA, UUID(int=10**6 + session), viewer, *told,
            _BEGAN + timedelta(seconds=number), 0.6 + chance.random() * 0.4, _QUALITY, bytes(32),
        )  # fmt: skip


def _vectors(count: int) -> Iterator[tuple[object, ...]]:
    chance = np.random.default_rng(7)
    themes = chance.normal(size=(200, _DIMENSION))
    for number in range(count):
        apart = 0.3 if chance.random() < 0.2 else 1.0  # a fifth says what others say, too
        vector = themes[chance.integers(200)] + apart * chance.normal(size=_DIMENSION)
        text = "[" + ",".join(f"{one:.4f}" for one in vector / np.linalg.norm(vector)) + "]"
        yield (OWNER, f"viewer-{number // _SESSION % _VIEWERS}", number + 1, MODEL, text)


async def fill(url: str, count: int) -> None:
    """Store the exchanges as they would stand after scoring and embedding; triggers sleep, for nothing recalls them."""
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg", "postgresql"))
    await connection.execute(_FIRST)
    sessions = [(UUID(int=10**6 + n), OWNER, PERSONA, f"viewer-{n % _VIEWERS}") for n in range(-(-count // _SESSION))]
    await connection.copy_records_to_table(
        "users", records=[(OWNER, f"viewer-{n}") for n in range(_VIEWERS)], columns=["owner_id", "id"]
    )
    await connection.copy_records_to_table(
        "sessions", records=sessions, columns=["id", "owner_id", "persona_id", "user_id"]
    )
    columns = "id owner_id persona_id session_id user_id input_text output_text occurred_at quality_score quality content_hash"
    await connection.copy_records_to_table("interactions", records=_interactions(count), columns=columns.split())
    await connection.execute("""
        INSERT INTO recall_documents (id, owner_id, user_id, persona_id, interaction_id, session_id, said_at, audience, asks,
                                      tells_when, length, end_length) OVERRIDING SYSTEM VALUE
        SELECT row_number() OVER (ORDER BY occurred_at), owner_id, user_id, persona_id, id, session_id, occurred_at, audience,
               false, false, 0, 0
        FROM interactions
    """)
    await connection.execute(
        "CREATE TEMP TABLE made (owner_id text, user_id text, document_id bigint, model int, v text)"
    )
    await connection.copy_records_to_table("made", records=_vectors(count))
    await connection.execute(
        "INSERT INTO embeddings (owner_id, user_id, document_id, model_id, embedding) "
        "SELECT owner_id, user_id, document_id, model, v::halfvec FROM made"
    )
    await connection.execute("ANALYZE")
    await connection.close()


def _peak_mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


async def export(url: str) -> dict[str, Any]:
    """Make the dataset and read its train file, in this process."""
    import sklearn.cluster  # noqa: F401 (counted with the base, like everything else that is loaded once)
    from datasketch import MinHash
    from memory_service.db import Database
    from memory_service.exports.giving import file_of, manifest_bytes
    from memory_service.exports.schemas import ExportCreate
    from memory_service.exports.service import create

    MinHash(num_perm=8)
    database = Database(url, pool_size=2)
    async with database.transaction(OWNER):
        base = _peak_mib()
    begun = time.monotonic()
    manifest, _ = await create(database, OWNER, ExportCreate(type="personality"), "casiopy")
    made, made_peak = time.monotonic() - begun, _peak_mib()
    begun = time.monotonic()
    file = await file_of(database, OWNER, str(manifest["export_id"]), "train")
    size = sum([len(piece) async for piece in file.content()])
    listed = sum([len(piece) async for piece in manifest_bytes(database, OWNER, str(manifest["export_id"]))])
    given = time.monotonic() - begun
    await database.close()
    return {
        "base_mib": base, "made_peak_mib": made_peak, "given_peak_mib": _peak_mib(), "make_seconds": round(made, 1),
        "give_seconds": round(given, 1), "kept": manifest["exchanges"], "train_bytes": size, "manifest_bytes": listed,
        "funnel": {stage["stage"]: stage["dropped"] for stage in manifest["funnel"]},
    }  # fmt: skip


def measure(count: int) -> dict[str, Any]:
    """One size: an embedded database, filled, and a process that exports from it."""
    from memory_service.embedded import EmbeddedPostgres
    from memory_service.schema import migrate

    with tempfile.TemporaryDirectory(prefix="casiopy-benchmark-") as name:
        Path(name).chmod(0o755)
        with EmbeddedPostgres(Path(name) / "database", settings={"fsync": "off"}) as server:
            asyncio.run(migrate(server.url))
            asyncio.run(fill(server.url, count))
            command = [sys.executable, __file__, "--export-from", server.url]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"exchanges": count} | dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure each size and say by how much memory grows."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--exchanges", type=int, nargs="+", default=[20_000, 100_000])
    arguments.add_argument("--no-result", action="store_true", help="only print, keep nothing under results/")
    arguments.add_argument("--export-from", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.export_from:
        print(json.dumps(asyncio.run(export(given.export_from))))
        return
    measured = []
    for count in given.exchanges:
        measured.append(measure(count))
        print(json.dumps(measured[-1]), flush=True)
    first, last = measured[0], measured[-1]
    if last["exchanges"] > first["exchanges"]:
        grown = (last["made_peak_mib"] - first["made_peak_mib"]) * 2**20 / (last["exchanges"] - first["exchanges"])
        print(f"{grown:.0f} bytes more at the peak for each further exchange")
    if not given.no_result:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-dataset-memory-{commit.stdout.strip()}.json"
        path.write_text(json.dumps({"hardware": hardware(), "sizes": measured}, indent=2) + "\n", encoding="utf-8")
        print(f"kept in {path}")


if __name__ == "__main__":
    main()
