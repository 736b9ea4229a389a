"""Embeds texts while PostgreSQL stores them: the worker, which comes when they are stored, finds their vectors made."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memory_service.embeddings.embedder import EMBEDDING_ERRORS, EmbedderNotReady, Vectors

# Texts embedded together. Of 128 fewer tokens are padding than of 64, and the model pauses half as often: 283 turns a second
# are stored, 400 to a request, instead of 262 (LoCoMo). Of 256 the first ones would be stored too late: 280.
_BATCH = 128
# Vectors that wait to be fetched: those of two of the largest requests, some 3 MB of 384 dimensions.
_MOST = 2_000
# What nobody has fetched by then nobody will: its transaction was rolled back, or another worker was quicker.
_KEPT_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Begun:
    """A text's vector under way: in which batch, at which place, since when."""

    batch: "asyncio.Task[Vectors]"
    place: int
    since: float


class EmbeddingAhead:
    """Vectors begun before anybody asks for them, by the SHA-256 of their texts: no text is kept here."""

    def __init__(self, embed: Callable[[Sequence[str]], Coroutine[Any, Any, Vectors]]) -> None:
        self._embed = embed
        self._begun: dict[bytes, _Begun] = {}

    def begin(self, texts: Sequence[str]) -> None:
        """Embed `texts` in the background, in their order; what there is no room for is left to whoever asks."""
        now = time.monotonic()
        self._drop(before=now - _KEPT_SECONDS)
        room = _MOST - len(self._begun)
        keyed = {_key(text): text for text in texts}
        fresh = [(key, text) for key, text in keyed.items() if key not in self._begun][:room]
        for start in range(0, len(fresh), _BATCH):
            keys, batch = zip(*fresh[start : start + _BATCH], strict=True)
            task = asyncio.create_task(self._embed(batch), name="embed ahead")
            task.add_done_callback(_seen)
            self._begun |= {key: _Begun(task, place, now) for place, key in enumerate(keys)}

    async def fetch(self, texts: Sequence[str]) -> Vectors:
        """Vectors of `texts`, one row each: those begun, once they are made, and the others embedded now.

        Raises:
            EmbedderNotReady: none now. EMBEDDING_ERRORS: a text could not be embedded.
        """
        begun = [self._begun.pop(_key(text), None) for text in texts]
        made = [await _made(one) if one else None for one in begun]
        missing = [text for text, vector in zip(texts, made, strict=True) if vector is None]
        rest = iter(await self._embed(missing)) if missing else iter(())
        return np.stack([next(rest) if vector is None else vector for vector in made])

    def close(self) -> None:
        """Give up what is under way."""
        self._drop(before=float("inf"))

    def _drop(self, before: float) -> None:
        for key in [key for key, one in self._begun.items() if one.since < before]:
            self._begun.pop(key).batch.cancel()


async def _made(begun: _Begun) -> Any:
    """The vector, or None when it could not be made: why not is said when its text is embedded again."""
    try:
        return (await asyncio.shield(begun.batch))[begun.place]
    except asyncio.CancelledError:
        if not begun.batch.cancelled():
            raise  # it is the caller who is cancelled
    except (EmbedderNotReady, *EMBEDDING_ERRORS):
        pass
    return None


def _seen(batch: "asyncio.Task[Vectors]") -> None:
    """Whether anybody asks for the batch or not: asyncio need not report what went wrong."""
    if not batch.cancelled():
        batch.exception()


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
