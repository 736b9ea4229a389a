"""The best of a recall read again by a cross-encoder; and that nothing is loaded or asked while it is off."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from memory_service.embeddings.model_folder import local_folder
from memory_service.llm.stand_in import StandIn
from memory_service.recall import cross_encoder
from memory_service.recall.cross_encoder import BackgroundCrossEncoder, CrossEncoderUnavailable, Scorer
from memory_service.recall.fusion import Candidate, Fused
from memory_service.recall.reordering import reordered
from memory_service.recall.second_look import Reading

from .conftest import Service

CATS = ["El gato duerme.", "El gato come.", "El gato corre.", "El gato se llama Copérnico."]
QUESTION = "¿Qué hace el gato?"
RUN = cross_encoder._RUN


class Fake:
    """Scores a text by its length, and fails on a text with `bad` in it. A run after the `quick` ones says so and is held."""

    def __init__(self, bad: str = "\n", quick: int = 1_000, slow: Callable[[], None] = lambda: None) -> None:
        self.bad, self.quick, self.slow, self.asked = bad, quick, slow, list[tuple[str, str]]()
        self.let = threading.Event()

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        if len(self.asked) >= self.quick * RUN:
            self.slow()
            assert self.let.wait(200)
        if any(self.bad in text for text in texts):
            raise RuntimeError("out of memory")
        self.asked += [(question, text) for text in texts]
        return [float(len(text)) for text in texts]


class Clock:
    """`asyncio` for the module under test; how long a reading may take is over when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits: list[asyncio.Timeout] = []
        monkeypatch.setattr(cross_encoder, "asyncio", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def timeout(self, _seconds: float) -> asyncio.Timeout:
        self._limits.append(asyncio.timeout(None))
        return self._limits[-1]

    def run_out(self) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(lambda: self._limits[-1].reschedule(self._loop.time()))


def use(monkeypatch: pytest.MonkeyPatch, scorer: Scorer) -> None:
    """Let RERANK_MODEL mean `scorer`."""
    monkeypatch.setattr(cross_encoder, "load", lambda setting, threads: scorer)


@asynccontextmanager
async def reranking(seconds: float = 5.0) -> AsyncIterator[BackgroundCrossEncoder]:
    made = BackgroundCrossEncoder("a-model", 1, seconds)
    made.start()
    try:
        yield made
    finally:
        await made.close()


def reading(number: int) -> Reading:
    return Reading("?", ["x" * (place + 1) for place in range(number)])


async def test_what_is_not_read_in_time_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Fake(quick=1, slow=Clock(monkeypatch).run_out)
    use(monkeypatch, model)
    async with reranking() as reranker:
        await reranker.decided()
        outcome = await reranker.attempt(reading(30))
        assert outcome.cause == "slow"
        assert outcome.made == (1.0, 2.0, 3.0, 4.0)
        model.let.set()


async def test_no_run_begins_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Fake()
    use(monkeypatch, model)
    Clock(monkeypatch)
    async with reranking(seconds=0.0) as reranker:
        await reranker.decided()
        outcome = await reranker.attempt(reading(30))
    assert (outcome.made, outcome.cause, model.asked) == ((), "slow", [])


async def test_one_that_takes_too_long_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Fake(quick=0)
    use(monkeypatch, model)
    async with reranking(seconds=0.1) as reranker:
        await reranker.decided()
        outcomes = await asyncio.gather(*[reranker.attempt(reading(30)) for _ in range(4)])
        model.let.set()  # nobody has waited for it
        assert [(outcome.made, outcome.cause) for outcome in outcomes] == [((), "slow")] * 4


async def test_a_text_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Fake(bad="x" * 6))
    async with reranking() as reranker:
        await reranker.decided()
        outcome = await reranker.attempt(reading(8))
        assert (outcome.made, outcome.cause) == (None, "broken")
        assert (await reranker.attempt(reading(4))).made == (1.0, 2.0, 3.0, 4.0)


async def test_start_and_recall_do_not_wait_for_the_model(
    service: Service, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def load(setting: str, threads: int) -> Scorer:
        gate.wait(200)
        raise CrossEncoderUnavailable(f"RERANK_MODEL={setting} is no folder on this machine.")

    monkeypatch.setattr(cross_encoder, "load", load)
    async with service(owner, rerank_model="a-model") as caller:
        health = (await caller.http.get("/health")).json()
        assert health["status"] == "ok"
        assert (health["checks"]["reranker"]["status"], health["checks"]["reranker"]["model"]) == ("loading", "a-model")
        await caller.tell_all("luna", CATS)
        found = await caller.recall("luna", QUESTION)
        assert found["note"] == "sin segunda lectura: el modelo de RERANK_MODEL aún se está cargando"
        assert len(found["hits"]) == 4
        gate.set()
        await until(caller.http, "reranker", "failed")
        found = await caller.context("luna", QUESTION)
        assert found["note"] == "sin segunda lectura: no hay modelo de RERANK_MODEL (véase /health)"
        assert (await caller.http.get("/health")).json()["status"] == "degraded"


async def until(http: Any, part: str, status: str) -> dict[str, Any]:
    """What /health says of `part` once it is so."""
    deadline = time.monotonic() + 200
    while True:
        checks = (await http.get("/health")).json()["checks"]
        if checks[part]["status"] == status:
            told: dict[str, Any] = checks[part]
            return told
        assert checks[part]["status"] == "loading", checks[part]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_the_first_ones_are_read_again_and_it_is_explained(
    service: Service, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake()
    use(monkeypatch, fake)
    said = [f"El gato número {number} duerme{' mucho' * (number % 7)}." for number in range(40)]
    async with service(owner) as caller:
        await caller.tell_all("luna", said)
        before = await caller.recall("luna", QUESTION, limit=40, explain=True)
    async with service(owner, rerank_model="a-model", rerank_within_ms=10_000) as caller:
        await until(caller.http, "reranker", "ok")
        after = await caller.recall("luna", QUESTION, limit=40, explain=True)
        few = await caller.recall("luna", QUESTION, limit=3)
        metrics = (await caller.http.get("/metrics")).text
    assert [text for _, text in fake.asked[:30]] == [hit["content"] for hit in before["hits"][:30]]
    assert {question for question, _ in fake.asked} == {QUESTION}
    assert len(fake.asked) == 60
    assert after["note"] is None
    first = [Fused(Candidate(-place, {}), hit["relevance_score"]) for place, hit in enumerate(before["hits"])]
    expected = reordered(first, [float(len(hit["content"])) for hit in before["hits"][:30]])
    ids = [before["hits"][-one.candidate.id]["id"] for one in expected]
    assert [hit["id"] for hit in after["hits"]] == ids
    assert ids != [hit["id"] for hit in before["hits"]]
    assert [hit["id"] for hit in few["hits"]] == ids[:3]
    assert all(("rerank" in hit["explain"]["boosts"]) == (place < 30) for place, hit in enumerate(after["hits"]))
    assert 'casiopy_recall_second_looks_total{outcome="done",step="rerank"}' in metrics


async def test_a_slow_model_reorders_as_many_as_it_has_read(
    service: Service, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Fake(quick=1, slow=Clock(monkeypatch).run_out)
    use(monkeypatch, model)
    async with service(owner, rerank_model="a-model", rerank_within_ms=10_000) as caller:
        await until(caller.http, "reranker", "ok")
        await caller.tell_all("luna", [f"El gato {number} duerme." for number in range(12)])
        found = await caller.recall("luna", QUESTION, explain=True)
        model.let.set()
        assert found["note"] == (
            "segunda lectura solo de los 4 primeros de 12: el modelo de RERANK_MODEL no acabó a tiempo"
        )
        assert len(found["hits"]) == 10


@pytest.fixture(scope="module")
def real_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cross-encoders as the library saves them, tiny and with random weights: `one` score a pair, and `three`."""
    torch = pytest.importorskip("torch", reason="needs the extra `models`")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("cross-encoders")
    words = transformers.AutoTokenizer.from_pretrained(local_folder("packaged:all-minilm-l6-v2"))
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    for name, labels in (("one", 1), ("three", 3)):
        torch.manual_seed(7)
        configuration = transformers.BertConfig(vocab_size=words.vocab_size, num_labels=labels, **shape)
        transformers.BertForSequenceClassification(configuration).save_pretrained(folder / name)
        words.save_pretrained(folder / name)
    return folder


async def test_a_real_model_from_a_folder(service: Service, owner: str, real_models: Path) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    setting = str(real_models / "one")
    async with service(owner, rerank_model=setting, rerank_within_ms=10_000) as caller:
        health = await until(caller.http, "reranker", "ok")
        assert health["model"] == setting
        await caller.tell_all("luna", CATS)
        found = await caller.recall("luna", QUESTION, explain=True)
    assert found["note"] is None
    gained = {hit["content"]: hit["explain"]["boosts"]["rerank"] for hit in found["hits"]}
    model = CrossEncoder(setting, device="cpu", local_files_only=True)
    logits = model.predict([(QUESTION, text) for text in gained], activation_fn=torch.nn.Identity())
    scores = dict(zip(gained, map(float, logits), strict=True))
    before = {hit["content"]: hit["relevance_score"] - gained[hit["content"]] for hit in found["hits"]}
    first = sorted(before, key=lambda text: -before[text])
    expected = reordered(
        [Fused(Candidate(place, {}), before[text]) for place, text in enumerate(first)],
        [scores[text] for text in first],
    )
    assert [one.boosts["rerank"] for one in expected] == pytest.approx(list(gained.values()), abs=1e-4)
    assert [first[one.candidate.id] for one in expected] == list(gained)


def test_a_long_text_is_read_to_the_window_and_no_further(real_models: Path) -> None:
    scorer = cross_encoder.load(str(real_models / "one"), 1)
    long = "gato " * 300
    assert scorer.score("gato", [long]) == pytest.approx(scorer.score("gato", [long + "perro " * 50_000]))
    assert scorer.score("gato", ["gato"]) != pytest.approx(scorer.score("gato", ["perro"]), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("three", "gives 3 numbers per pair"),
        ("nowhere", "is no folder on this machine"),
        ("empty", "could not be loaded as a cross-encoder"),
    ],
)
def test_what_cannot_score_is_refused(real_models: Path, name: str, says: str) -> None:
    (real_models / "empty").mkdir(exist_ok=True)
    with pytest.raises(CrossEncoderUnavailable, match=says):
        cross_encoder.load(str(real_models / name), 1)


def test_an_embedding_model_is_no_cross_encoder(real_models: Path) -> None:
    """The library would give it a layer of random weights, and score at random."""
    with pytest.raises(CrossEncoderUnavailable, match="is no cross-encoder, but BertModel"):
        cross_encoder.load(str(local_folder("packaged:all-minilm-l6-v2")), 1)


async def test_off_by_default_nothing_is_loaded_or_asked(
    service: Service, owner: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def never(*_: object) -> Scorer:
        raise AssertionError("RERANK_MODEL is not set")

    monkeypatch.setattr(cross_encoder, "load", never)
    caplog.set_level(logging.INFO)
    with StandIn() as server:
        async with service(owner, llm_base_url=server.openai_url, llm_model="casiopy:live") as caller:
            await caller.tell_all("luna", CATS)
            found = await caller.recall("luna", QUESTION, explain=True)
            assert found["note"] is None
            assert len(found["hits"]) == 4
            assert not any("rerank" in hit["explain"]["boosts"] for hit in found["hits"])
            assert (await caller.context("luna", QUESTION, explain=True))["note"] is None
            assert "reranker" not in (await caller.http.get("/health")).json()["checks"]
        assert server.requests == []
    assert not any("RERANK_MODEL" in line or "RECALL_REWRITE" in line for line in caplog.messages)


async def test_off_the_steps_are_not_even_imported(owner: str, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from memory_service.recall.choosing import configured_second_look\n"
        "from memory_service.recall.second_look import OFF\n"
        "from memory_service.settings import Settings\n"
        "async def main():\n"
        "    async with configured_second_look(Settings(_env_file=None), None, {}) as look:\n"
        "        assert look == OFF\n"
        "asyncio.run(main())\n"
        "loaded = {'torch', 'sentence_transformers', 'transformers', 'memory_service.recall.cross_encoder',"
        " 'memory_service.recall.rewriting'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=tmp_path)
    assert await process.wait() == 0
