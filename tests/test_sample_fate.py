"""What becomes of each kind of exchange in the sample month, from the first post to the dataset, over the real service."""

import json
import re
from collections import defaultdict

import httpx
import pytest
from running import Service

from casiopy.demo.conversation import post_session, sessions_of
from casiopy.demo.sample import SampleExchange, load_sample

# A rule, not a score, must stop these.
NEVER_LEARNED = {"refusal", "error_text", "interrupted", "role_confusion", "memory_echo", "wrong_language"}
E_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w+")
LONG_NUMBER = re.compile(r"(?:\d[ .-]?){8,}\d|\bES\d{2}\b|\b[XYZ]?\d{7,8}-?[A-Z]\b")


class Fate:
    """The sample after it was posted and exported."""

    def __init__(self, client: httpx.Client) -> None:
        self.exchange: dict[str, SampleExchange] = {}
        for name, exchanges in sessions_of(load_sample()):
            post_session(client, name, exchanges, self._told)
        self.personality = self._export(client, {"type": "personality"})
        self.episodic = self._export(client, {"type": "episodic", "week": 4, "year": 2026})

    def _told(self, exchange: SampleExchange, answer: dict[str, object]) -> None:
        self.exchange[str(answer["id"])] = exchange

    @staticmethod
    def _export(client: httpx.Client, body: dict[str, object]) -> list[dict[str, object]]:
        manifest = client.post("/exports", json=body).raise_for_status().json()
        rows = []
        for split in ("train", "val"):
            text = client.get(f"/exports/{manifest['export_id']}/rows", params={"split": split}).raise_for_status().text
            rows += [json.loads(line) for line in text.splitlines()]
        return rows

    def learned(self, rows: list[dict[str, object]]) -> list[SampleExchange]:
        """The exchanges inside dataset rows, in order."""
        ids = [identifier for row in rows for identifier in row["metadata"]["interaction_ids"]]  # type: ignore[index]
        return [self.exchange[identifier] for identifier in ids if identifier in self.exchange]


@pytest.fixture(scope="module")
def fate(service: Service) -> Fate:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        return Fate(client)


def test_what_a_human_would_keep_is_learned(fate: Fate) -> None:
    learned = fate.learned(fate.personality)
    exportable = [exchange for exchange in fate.exchange.values() if exchange.exportable]
    assert len([exchange for exchange in learned if exchange.keep]) >= 0.9 * len(exportable)


def test_no_refusal_error_or_broken_reply_is_learned(fate: Fate) -> None:
    guilty = [exchange for exchange in fate.learned(fate.personality) if NEVER_LEARNED & set(exchange.labels)]
    assert not guilty


def test_hardly_anything_a_human_would_reject_is_learned(fate: Fate) -> None:
    learned = fate.learned(fate.personality)
    assert len([exchange for exchange in learned if not exchange.keep]) <= 0.02 * len(learned)


@pytest.mark.parametrize("dataset", ["personality", "episodic"])
def test_opted_out_sessions_are_in_no_dataset(fate: Fate, dataset: str) -> None:
    learned = fate.learned(getattr(fate, dataset))
    assert learned
    assert not [exchange for exchange in learned if exchange.opt_out_training]


def test_exact_duplicates_are_learned_once(fate: Fate) -> None:
    times: dict[tuple[str, str], int] = defaultdict(int)
    for exchange in fate.learned(fate.personality):
        times[exchange.input_text.casefold(), exchange.output_text.casefold()] += 1
    assert max(times.values()) == 1


def test_personal_data_does_not_leave(fate: Fate) -> None:
    posted = [exchange for exchange in fate.exchange.values() if "pii" in exchange.labels]
    assert any(E_MAIL.search(exchange.input_text) for exchange in posted)
    assert any(LONG_NUMBER.search(exchange.input_text) for exchange in posted)
    for row in [*fate.personality, *fate.episodic]:
        said = [m["content"] for m in row["messages"] if m["role"] != "system"]  # type: ignore[index]
        for text in said:
            assert not E_MAIL.search(text), text
            assert not LONG_NUMBER.search(text), text


def test_the_week_holds_only_the_week(fate: Fate) -> None:
    weeks = {exchange.occurred_at.isocalendar()[:2] for exchange in fate.learned(fate.episodic)}
    assert weeks == {(2026, 4)}
