"""Recall goes on by words when the embedder is loading, failed, slow or refuses a text, and says so."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from memory_service.embeddings.embedder import Embedder, EmbedderUnavailable, Kind, Vectors
from memory_service.recall import service as recall_service

from .conftest import Service, minilm


class Slow:
    """Passes for the model whose vectors are stored; answers questions when it is let, or with an error."""

    name, dimension = "slow", 384

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.revision = error, minilm().revision
        self.let = threading.Event()

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        if kind == "question":
            if self.error is not None:
                raise self.error
            self.let.wait(200)
        return np.full((len(texts), self.dimension), self.dimension**-0.5, np.float32)


def failed() -> Embedder:
    raise EmbedderUnavailable("EMBEDDING_MODEL=x is no folder on this machine.")


async def test_while_the_model_loads(service: Service, owner: str) -> None:
    gate = threading.Event()

    def load() -> Embedder:
        gate.wait(200)
        return minilm()

    async with service(owner, load_embedder=load, ready=False) as caller:
        health = (await caller.http.get("/health")).json()
        assert (health["status"], health["checks"]["embedder"]["status"]) == ("ok", "loading")
        await caller.tell("luna", "Tengo un gato.")
        found = await caller.recall("luna", "¿Qué gato?")
        assert found["note"] == "búsqueda solo por palabras: el modelo de embeddings aún se está cargando"
        assert found["hits"][0]["explain"]["dense"] is None
        assert found["hits"][0]["explain"]["reason"] == f"comparte «gato»; {found['note']}"
        gate.set()
        await caller.embedded()
        assert (await caller.recall("luna", "¿Qué gato?"))["hits"][0]["explain"]["dense"]["rank"] == 1


async def test_when_there_is_no_model(service: Service, owner: str) -> None:
    async with service(owner, load_embedder=failed) as caller:
        await caller.tell("luna", "Tengo un gato.")
        found = await caller.context("luna", "¿Qué gato?")
        assert "no hay modelo" in found["note"]
        assert len(found["memories"]) == 1
        health = await caller.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert "is no folder" in health.json()["checks"]["embedder"]["detail"]


async def test_a_question_whose_vector_takes_too_long_is_not_waited_for(
    service: Service, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall_service, "_EMBED_WITHIN_SECONDS", 0.1)
    slow = Slow()
    async with service(owner, load_embedder=lambda: slow, worker=False) as caller:
        await caller.tell("luna", "Tengo un gato.")
        found = await caller.recall("luna", "¿Qué gato?")
        slow.let.set()  # only now can it answer
        assert "tardó demasiado" in found["note"]
        assert len(found["hits"]) == 1


async def test_when_a_question_cannot_be_embedded(service: Service, owner: str) -> None:
    async with service(owner, load_embedder=lambda: Slow(RuntimeError("out of memory")), worker=False) as caller:
        await caller.tell("luna", "Tengo un gato.")
        found = await caller.recall("luna", "¿Qué gato?")
        assert "no hay modelo" in found["note"]
        assert len(found["hits"]) == 1


async def test_what_has_no_vector_yet_is_found_by_its_words(service: Service, owner: str) -> None:
    async with service(owner) as caller:
        await caller.tell_all("luna", ["Hoy llueve.", "Mañana nevará."])
    async with service(owner, worker=False) as caller:
        await caller.tell("luna", "Tengo un gato.")
        hits = (await caller.recall("luna", "¿Qué gato?"))["hits"]
        first = next(hit for hit in hits if hit["input_text"] == "Tengo un gato.")
        assert first["explain"]["reason"] == "comparte «gato»; aún no tiene vector"
        assert len(hits) == 3
