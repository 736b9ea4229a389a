"""What encryption at rest costs: the same writes and the same questions, without a key and with one, in one run.

What it does: starts two services of its own, plain and under a fresh ENCRYPTION_KEY, and by turns stores the same made-up
exchanges in each and asks each the same questions by words. The ratio is what the key costs.

How to run it:   python benchmarks/encryption_cost.py [--exchanges 1000]
"""

import argparse
import json
import os
import random
import statistics
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography.fernet import Fernet

sys.path.insert(0, str(Path(__file__).parent))
from service_under_test import hardware, started_service

RESULTS = Path(__file__).parent / "results"
QUESTIONS = 100
_WORDS = (
    "gato",
    "perro",
    "lluvia",
    "tren",
    "café",
    "barco",
    "museo",
    "queso",
    "viaje",
    "noche",
    "nieve",
    "guitarra",
    "limón",
    "bosque",
    "puente",
    "faro",
)


def exchanges(count: int) -> list[tuple[str, str]]:
    """The same made-up chat for both services."""
    chance = random.Random(7)

    def sentence() -> str:
        return "Ayer vi un " + " y un ".join(chance.sample(_WORDS, 4)) + f" número {chance.randrange(1000)}"

    return [(sentence(), f"*suspiro* {sentence()}, mortal.") for _ in range(count)]


class Measured:
    """One service and what its answers took, in seconds."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60)
        self._session = self._client.post("/sessions", json={"user_id": "u"}).raise_for_status().json()["id"]
        self.writes: list[float] = []
        self.questions: list[float] = []

    def write(self, asked: str, replied: str) -> None:
        """Store an exchange."""
        body = {"session_id": self._session, "input_text": asked, "output_text": replied}
        self._timed(self.writes, "/interactions", body)

    def ask(self, question: str) -> None:
        """Recall by words alone."""
        self._timed(self.questions, "/recall", {"user_id": "u", "query": question, "limit": 5, "arms": ["lexical"]})

    def _timed(self, times: list[float], path: str, body: dict[str, object]) -> None:
        begun = time.perf_counter()
        self._client.post(path, json=body).raise_for_status()
        times.append(time.perf_counter() - begun)

    def medians(self) -> dict[str, float]:
        """In milliseconds."""
        return {
            "write_ms": 1000 * statistics.median(self.writes),
            "question_ms": 1000 * statistics.median(self.questions),
        }


def started(stack: ExitStack, key: str) -> Measured:
    """A service under `key`, or without one."""
    os.environ["ENCRYPTION_KEY"] = key
    return Measured(stack.enter_context(started_service()).url)


def measure(said: list[tuple[str, str]]) -> tuple[dict[str, float], dict[str, float]]:
    """Both services by turns, so that a busy moment of the machine falls on both."""
    with ExitStack() as stack:
        both = started(stack, ""), started(stack, Fernet.generate_key().decode())
        for asked, replied in said:
            for service in both:
                service.write(asked, replied)
        for asked, _ in said[:QUESTIONS]:
            for service in both:
                service.ask(asked)
        return both[0].medians(), both[1].medians()


def main() -> None:
    """Measure both, print the table, keep the result."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--exchanges", type=int, default=1000, help="exchanges to store (default 1000)")
    said = exchanges(arguments.parse_args().exchanges)
    plain, encrypted = measure(said)
    print(f"{'median':<14}{'plain':>10}{'encrypted':>12}{'ratio':>8}")
    for name in plain:
        print(f"{name:<14}{plain[name]:>10.1f}{encrypted[name]:>12.1f}{encrypted[name] / plain[name]:>8.2f}")
    result = {
        "benchmark": "encryption_cost",
        "date": datetime.now(UTC).date().isoformat(),
        **hardware(),
        "exchanges": len(said),
        "plain": plain,
        "encrypted": encrypted,
        "ratio": {name: encrypted[name] / plain[name] for name in plain},
    }
    commit = str(result.get("commit", "unknown"))[:7]
    path = RESULTS / f"{result['date']}-encryption-{commit}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
