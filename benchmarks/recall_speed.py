"""How fast POST /memory/context answers, as ratios within one run: against its bare parts, against callers, against size.

What it does: fills a service's database with made-up exchanges, 10,000 of one viewer, and measures; then fills it up with other
viewers' to 200,000 and measures again. At each size it times, question by question and by turns, the answer end to end and
what it cannot do without: embedding the question, and the SQL of both arms sent by the bare driver. Then 16 callers at once.

How to run it:         python benchmarks/recall_speed.py             (some ten minutes, 3 GB of disk)
How to run it small:   ... --small 1000 --large 5000 --questions 30

Meaning of the figures: benchmarks/README.md.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import large_memory
from bare_recall import Bare, BareRecall
from embedding import embedders
from memory_service.db import Database
from memory_service.embedded import EmbeddedPostgres
from recall_baselines import Embed
from service_under_test import ServiceUnderTest, hardware, open_folder, started_service
from synthetic_talk import Talk

RESULTS = Path(__file__).parent / "results"
VIEWER, OTHERS_HAVE = "asked", 1_000
CENTRES, WARM_UP = 400, 20
CALLERS, ASKED_BY_EACH = 16, 25
# What the product promises, on two cores.
TARGETS = {"over_bare": 1.5, "p99_over_median": 3.0, "large_over_small": 2.0, "health_seconds": 3.0}


class Speed:
    """The fillings and measurements of one run, over the database in `folder`."""

    def __init__(self, folder: Path, embed: tuple[Embed, Embed], questions: int) -> None:
        self._folder = folder
        self._talk = Talk(seed=11)
        self._subjects = self._talk.subjects(CENTRES)
        embed_texts, self._embed_questions = embed
        self._centres = embed_texts([self._talk.about(one) for one in self._subjects])
        self._questions = self._talk.questions(WARM_UP + questions, self._subjects)
        self._concurrent = self._talk.questions(CALLERS * ASKED_BY_EACH, self._subjects)

    def begin(self) -> dict[str, float] | None:
        """Have a service make the database, its owner, persona and model; returns how long it took to start."""
        with started_service(self._folder) as service, httpx.Client(base_url=f"{service.url}/api/v1") as http:
            session = http.post("/sessions", json={"user_id": VIEWER}).raise_for_status().json()["id"]
            body = {"session_id": session, "input_text": self._talk.about(self._subjects[0])}
            http.post("/interactions", json=body).raise_for_status()
            while http.get("/stats").raise_for_status().json()["interactions"]["pending_embeddings"]:
                time.sleep(0.1)
            return service.start_seconds

    async def fill(self, user_sizes: dict[str, int]) -> dict[str, float]:
        """Add these viewers' talks; returns the seconds it took and the size of the database."""
        begun = time.monotonic()
        with EmbeddedPostgres(self._folder / "data" / "postgres") as server:
            connection = await large_memory.connect(server.url)
            at = await large_memory.home(connection)
            await large_memory.drop_vector_index(connection, at)
            for number, (user, size) in enumerate(user_sizes.items()):
                talk = list(self._talk.exchanges(size, self._subjects))
                await large_memory.add(connection, at, user, talk, self._centres, seed=number)
            size = await large_memory.settle(connection, at)
            await connection.close()
        return {"fill_seconds": round(time.monotonic() - begun, 1), "database_mib": round(size / 2**20)}

    async def measure(self) -> dict[str, Any]:
        """The database as it is now, under a service started anew."""
        with ExitStack() as stack:
            service = stack.enter_context(started_service(self._folder))
            server = stack.enter_context(EmbeddedPostgres(self._folder / "data" / "postgres"))
            connection = await large_memory.connect(server.url)
            at = await large_memory.home(connection)
            await connection.close()
            database = Database(server.url)
            try:
                bare = BareRecall(database, at, VIEWER, self._embed_questions)
                alone = await self._one_by_one(service, bare)
            finally:
                await database.close()
            together = await self._all_at_once(service)
            return alone | together | {
                "start_seconds": service.start_seconds, "peak_memory_mib": service.peak_memory_mib(),
            }  # fmt: skip

    async def _one_by_one(self, service: ServiceUnderTest, bare: BareRecall) -> dict[str, Any]:
        answers: list[float] = []
        parts: list[Bare] = []
        async with _http(service) as http:
            for number, question in enumerate(self._questions):
                # By turns who goes first: the second finds the pages in memory.
                if number % 2:
                    part, answer = await bare.time(question), await _ask(http, question)
                else:
                    answer, part = await _ask(http, question), await bare.time(question)
                if number >= WARM_UP:
                    answers.append(answer)
                    parts.append(part)
        needed = _median([one.embedding + one.statements for one in parts])
        return {
            "context_ms": _ms(_median(answers)),
            "context_p99_ms": _ms(float(np.percentile(answers, 99))),
            "embedding_ms": _ms(_median([one.embedding for one in parts])),
            "statements_ms": _ms(_median([one.statements for one in parts])),
            "over_bare": round(_median(answers) / needed, 2),
        }

    async def _all_at_once(self, service: ServiceUnderTest) -> dict[str, Any]:
        async with _http(service) as http:

            async def caller(number: int) -> list[float]:
                return [await _ask(http, question) for question in self._concurrent[number::CALLERS]]

            begun = time.perf_counter()
            answers = [one for part in await asyncio.gather(*map(caller, range(CALLERS))) for one in part]
            seconds = time.perf_counter() - begun
        tail = float(np.percentile(answers, 99))
        return {
            "concurrent_ms": _ms(_median(answers)),
            "concurrent_p99_ms": _ms(tail),
            "p99_over_median": round(tail / _median(answers), 2),
            "answers_per_second": round(len(answers) / seconds, 1),
        }


def _http(service: ServiceUnderTest) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CALLERS, max_keepalive_connections=CALLERS)
    return httpx.AsyncClient(base_url=f"{service.url}/api/v1", timeout=60, limits=limits)


async def _ask(http: httpx.AsyncClient, question: str) -> float:
    begun = time.perf_counter()
    answer = await http.post("/memory/context", json={"user_id": VIEWER, "query": question})
    seconds = time.perf_counter() - begun
    told = answer.raise_for_status().json()
    if told["note"] or not told["memories"]:
        sys.exit(f"Recall did not use both arms ({told['note'] or 'it found nothing'}): nothing to measure.")
    return seconds


def _median(seconds: Sequence[float]) -> float:
    return float(np.median(seconds))


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


async def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Fill and measure at both sizes."""
    with open_folder() as folder:
        speed = Speed(folder, embedders(), asked.questions)
        first_start = speed.begin()
        print(f"filling in {asked.small} exchanges of one viewer …", flush=True)
        small = await speed.fill({VIEWER: asked.small}) | await speed.measure()
        rest = asked.large - asked.small
        others = {f"other-{number}": OTHERS_HAVE for number in range(rest // OTHERS_HAVE)}
        print(f"filling in {len(others)} viewers with {OTHERS_HAVE} each …", flush=True)
        large = await speed.fill(others) | await speed.measure()
    return {
        "first_start_seconds": first_start,
        "sizes": {str(asked.small): small, str(asked.large): large},
        "large_over_small": round(large["context_ms"] / small["context_ms"], 2),
        "targets": TARGETS,
    }


ROWS = {
    "context_ms": "/memory/context, median (ms)", "context_p99_ms": "  its 99th percentile",
    "embedding_ms": "embedding alone, median", "statements_ms": "SQL of both arms alone, median",
    "over_bare": "context / (embedding + SQL)", "concurrent_ms": f"{CALLERS} callers at once, median",
    "concurrent_p99_ms": "  their 99th percentile", "p99_over_median": "  99th percentile / median",
    "answers_per_second": "  answers a second", "database_mib": "database (MiB)", "fill_seconds": "filled in (s)",
}  # fmt: skip


def print_table(measured: dict[str, Any]) -> None:
    """For a reader."""
    sizes = list(measured["sizes"].values())
    _row("", *(f"{int(size):,}" for size in measured["sizes"]), target="target")
    for key, name in ROWS.items():
        _row(name, *(f"{one[key]:,}" for one in sizes), target=_at_most(key))
    _row("median, large / small", "", measured["large_over_small"], target=_at_most("large_over_small"))
    starts = (one["start_seconds"]["health"] for one in sizes)
    _row("start until /health answers (s)", *starts, target=_at_most("health_seconds"))
    _row("service, peak memory (MiB)", *(one["peak_memory_mib"]["service"] for one in sizes))
    print(f"First start, making the database: {measured['first_start_seconds']} s")


def _row(name: str, *cells: object, target: str = "") -> None:
    print(f"{name:34}" + "".join(f"{cell!s:>12}" for cell in cells) + f"{target:>10}")


def _at_most(key: str) -> str:
    return f"≤ {TARGETS[key]:g}" if key in TARGETS else ""


def main() -> None:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--small", type=int, default=10_000, help="exchanges of the viewer who is asked (default 10000)"
    )
    parser.add_argument("--large", type=int, default=200_000, help="exchanges in the end (default 200000)")
    parser.add_argument(
        "--questions", type=int, default=150, help="questions timed one by one at each size (default 150)"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result file")
    asked = parser.parse_args()
    if not 0 < asked.small <= asked.large - OTHERS_HAVE:
        parser.error(f"--large must be at least --small and {OTHERS_HAVE} more")
    kept = {"date": datetime.now(UTC).isoformat(timespec="seconds")} | hardware() | {"benchmark": "recall_speed"}
    kept |= asyncio.run(run(asked))
    print_table(kept)
    asked.results.mkdir(parents=True, exist_ok=True)
    path = asked.results / f"{kept['date'][:10]}-speed-{kept['commit']}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"Kept in {path}")
    print(json.dumps(kept))


if __name__ == "__main__":
    main()
