"""How the language model is, for /health: asked now and then in the background, never while somebody waits."""

import asyncio
import logging

from memory_service.health import PartHealth
from memory_service.llm.choosing import NONE_CONFIGURED, ConfiguredModel
from memory_service.llm.model import ModelUnavailable

log = logging.getLogger(__name__)

# /health is asked every few seconds by whoever watches the service; the model's server need not be.
_FRESH_SECONDS = 30.0


class ModelWatch:
    """Remembers the last answer of the model's server; asks again when /health is asked and the answer is old."""

    def __init__(self, model: "ConfiguredModel | None") -> None:
        self._model = model
        self._asked_at = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._health = PartHealth(status="ok", detail=NONE_CONFIGURED)
        if model is not None:
            self._health = PartHealth(status="loading", detail=f"{model.name}: {model.where} is being asked")

    def start(self) -> None:
        """Ask for the first time; returns at once."""
        self._ask()

    def health(self) -> PartHealth:
        """What the server last said. Having no model is healthy."""
        if asyncio.get_running_loop().time() - self._asked_at > _FRESH_SECONDS:
            self._ask()
        return self._health

    async def close(self) -> None:
        """Stop asking, and close the model's connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})
        if self._model is not None:
            await self._model.close()

    def _ask(self) -> None:
        if self._model is not None and (self._asking is None or self._asking.done()):
            self._asked_at = asyncio.get_running_loop().time()
            self._asking = asyncio.create_task(self._check(self._model), name="ask the model how it is")

    async def _check(self, model: ConfiguredModel) -> None:
        try:
            await model.check()
        except ModelUnavailable as error:
            if self._health.status != "failed":
                log.warning("Model: %s", error.detail)
            self._health = PartHealth(status="failed", detail=error.detail)
        else:
            self._health = PartHealth(status="ok", detail=f"{model.name} of {model.where}")
