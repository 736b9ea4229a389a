"""Embeds texts while PostgreSQL stores them: the worker, which comes when they are stored, finds their vectors made."""

import asyncio
import hashlib
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from memory_service.embeddings.embedder import Vectors

# Texts embedded together. Of 128 fewer tokens are padding than of 64, and the model pauses half as often: 283 turns a second
# are stored, 400 to a request, instead of 262 (LoCoMo). Of 256 the first ones would be stored too late: 280.
_BATCH = 128
# Vectors that wait to be fetched: those of two of the largest requests, some 3 MB of 384 dimensions.
_MOST = 2_000
# What nobody has fetched so long after it was made nobody will: its transaction was rolled back, its text was changed, or
# another worker was quicker.
_KEPT_SECONDS = 120.0


_Vector = NDArray[np.float32]


class _Embed(Protocol):
    def __call__(self, texts: Sequence[str], *, ahead: bool) -> Coroutine[Any, Any, Vectors]: ...


@dataclass(eq=False, slots=True)
class _Begun:
    """A text's vector under way, None if it could not be made; made, it is kept until this time of the loop's clock."""

    vector: "asyncio.Future[_Vector | None]"
    until: float = float("inf")


class EmbeddingAhead:
    """Vectors begun before anybody asks for them, by the SHA-256 of their texts: no text is kept here."""

    def __init__(self, embed: _Embed) -> None:
        self._embed = embed
        self._begun: dict[bytes, _Begun] = {}
        self._batches: set[asyncio.Task[Vectors]] = set()

    def begin(self, texts: Sequence[str]) -> None:
        """Embed `texts` in the background, in their order; what there is no room for is left to whoever asks."""
        loop = asyncio.get_running_loop()
        room = _MOST - len(self._begun)
        keyed = {_key(text): text for text in texts}
        fresh = [(key, text) for key, text in keyed.items() if key not in self._begun][:room]
        for start in range(0, len(fresh), _BATCH):
            keys, batch = zip(*fresh[start : start + _BATCH], strict=True)
            begun = [_Begun(loop.create_future()) for _ in keys]
            self._begun |= zip(keys, begun, strict=True)
            task = loop.create_task(self._embed(batch, ahead=True), name="embed ahead")
            self._batches.add(task)
            task.add_done_callback(partial(self._settle, begun))

    async def fetch(self, texts: Sequence[str]) -> Vectors:
        """Vectors of `texts`, one row each: those begun, once they are made, and the others embedded meanwhile.

        Raises:
            EmbedderNotReady: none now. EMBEDDING_ERRORS: a text could not be embedded.
        """
        keys = [_key(text) for text in texts]
        asked = dict(zip(keys, texts, strict=True))
        begun = {key: self._begun.pop(key) for key in asked if key in self._begun}
        others = asyncio.create_task(self._now({key: text for key, text in asked.items() if key not in begun}))
        others.add_done_callback(_seen)
        try:
            made = {key: await one.vector for key, one in begun.items()}
            vectors = {key: vector for key, vector in made.items() if vector is not None}
            vectors |= await others
        finally:
            others.cancel()
        # Why one could not be made is said when its text is embedded again.
        vectors |= await self._now({key: asked[key] for key, vector in made.items() if vector is None})
        return np.stack([vectors[key] for key in keys])

    def close(self) -> None:
        """Give up what is under way."""
        for batch in self._batches:
            batch.cancel()
        self._begun.clear()

    async def _now(self, texts: Mapping[bytes, str]) -> dict[bytes, _Vector]:
        made = await self._embed(list(texts.values()), ahead=False) if texts else ()
        return dict(zip(texts, made, strict=True))

    def _settle(self, begun: Sequence[_Begun], batch: "asyncio.Task[Vectors]") -> None:
        """Hand each text its own copy of its vector, so that one left over does not keep the whole batch in memory."""
        self._batches.discard(batch)
        loop = asyncio.get_running_loop()
        made = None if batch.cancelled() or batch.exception() else batch.result()
        until = loop.time() + (_KEPT_SECONDS if made is not None else 0)
        for place, one in enumerate(begun):
            one.until = until
            if not one.vector.done():  # else whoever fetched it has gone
                one.vector.set_result(None if made is None else made[place].copy())
        loop.call_at(until, self._forget, until)

    def _forget(self, until: float) -> None:
        self._begun = {key: one for key, one in self._begun.items() if one.until > until}


def _seen(others: "asyncio.Task[dict[bytes, _Vector]]") -> None:
    """Whether anybody still waits or not: asyncio need not report what went wrong."""
    if not others.cancelled():
        others.exception()


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
