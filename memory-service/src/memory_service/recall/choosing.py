"""Which optional steps of recall the settings switch on. Off, none of their libraries is imported."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from memory_service.health import PartHealth
from memory_service.llm.model import LanguageModel
from memory_service.recall.second_look import SecondLook
from memory_service.settings import Settings

log = logging.getLogger(__name__)


@asynccontextmanager
async def configured_second_look(
    settings: Settings, model: LanguageModel | None, parts: dict[str, Callable[[], PartHealth]]
) -> AsyncIterator[SecondLook]:
    """The steps the settings mean, started; `parts` gets what /health shows of them. Says in the log which are on.

    `model` is there where RECALL_REWRITE is on: the settings see to it.
    """
    steps: dict[str, Any] = {}
    if settings.recall_rewrite and model is not None:
        from memory_service.recall.rewriting import ModelRewrite

        log.info("Recall: %s rewrites the question (RECALL_REWRITE)", model.name)
        steps["rewrite"] = ModelRewrite(model, settings.recall_rewrite_seconds)
    if settings.rerank_model is None:
        yield SecondLook(**steps)
        return
    from memory_service.recall.cross_encoder import BackgroundCrossEncoder

    log.info("Recall: %s reads the first %d again (RERANK_MODEL)", settings.rerank_model, settings.rerank_candidates)
    reranker = BackgroundCrossEncoder(
        settings.rerank_model, settings.embedding_threads, settings.rerank_within_ms / 1000
    )
    parts["reranker"] = reranker.health
    reranker.start()
    try:
        yield SecondLook(**steps, rerank=reranker, candidates=settings.rerank_candidates)
    finally:
        await reranker.close()
