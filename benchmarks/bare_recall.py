"""What recall cannot do without: the question's vector and the statements of its arms, timed apart from the service.

The statements are the service's own, with the parameters it would send: they are caught as its code runs them here, and sent
again by the bare driver over a direct connection. What is left out is HTTP, the fusion, the fetching and telling of the hits.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from large_memory import Home
from memory_service.db import Database, raw_connection
from memory_service.embeddings.vectors import vector_text
from memory_service.recall import repository
from memory_service.recall.repository import QuestionVector, Scope
from numpy.typing import NDArray
from recall_baselines import Embed
from sqlalchemy import event

# As many as the service asks its arms for (memory_service.recall.service).
_BY_WORDS, _BY_MEANING = 300, 100


@dataclass(frozen=True, slots=True)
class Bare:
    """Seconds of one question: its vector, and the statements of both arms."""

    embedding: float
    statements: float


@dataclass(slots=True)
class BareRecall:
    """Times questions of one viewer."""

    database: Database
    at: Home
    user: str
    embed_questions: Embed
    _caught: list[tuple[str, Sequence[Any]]] = field(default_factory=list)

    async def time(self, question: str) -> Bare:
        """Embed the question, then run what its arms ask of the database."""
        begun = time.perf_counter()
        vector = self.embed_questions([question])[0]
        embedding = time.perf_counter() - begun
        async with self.database.transaction(self.at.owner) as connection:
            scope = Scope(self.user, self.at.persona, False, None, ("viewer", "public"), None)
            words = await repository.words(connection, scope, question)
            with self._catching():
                await repository.bm25(connection, scope, words.forms, (), _BY_WORDS)
                await repository.nearest(connection, scope, self._told(vector), _BY_MEANING, is_large=words.is_large)
            driver = await raw_connection(connection)
            begun = time.perf_counter()
            for statement, parameters in self._caught:
                await driver.fetch(statement, *parameters)
            return Bare(embedding, time.perf_counter() - begun)

    def _told(self, vector: NDArray[Any]) -> QuestionVector:
        return QuestionVector(vector_text(vector.tolist()), self.at.model, len(vector))

    @contextmanager
    def _catching(self) -> Iterator[None]:
        """Note every statement that reaches the driver meanwhile."""
        self._caught.clear()

        def note(_c: object, _d: object, statement: str, parameters: Sequence[Any], *_: object) -> None:
            self._caught.append((statement, parameters))

        event.listen(self.database.engine.sync_engine, "before_cursor_execute", note)
        try:
            yield
        finally:
            event.remove(self.database.engine.sync_engine, "before_cursor_execute", note)
