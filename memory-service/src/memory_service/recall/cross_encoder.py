"""A cross-encoder of the sentence-transformers library: reads question and memory together, better and slower than vectors.

Importing this module imports neither the library nor torch.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from memory_service.embeddings.embedder import EMBEDDING_ERRORS
from memory_service.embeddings.model_folder import INSTALL_MODELS
from memory_service.embeddings.thread import EmbeddingThread
from memory_service.health import PartHealth
from memory_service.recall.second_look import Outcome, Reading

log = logging.getLogger(__name__)

# Pairs read between two looks at the clock. Thirty of 15 words take, on one core and four at a time, 23 ms in the shape of
# ms-marco-TinyBERT-L2, 116 ms in that of MiniLM-L2 and 313 ms in that of MiniLM-L6; larger runs gain little.
_RUN = 4
# What is read of a text, in tokens, as of an embedded one; and in characters, so that nothing long is cut into tokens first.
_WINDOW, _CHARACTERS = 256, 2000
# Heads whose weights score a pair. A model without one would be given random weights by the library, and score at random.
_SCORING = ("ForSequenceClassification", "ForCausalLM")


class CrossEncoderUnavailable(Exception):
    """The model cannot be had; the message says why, and which setting to change."""


class Scorer(Protocol):
    """A loaded cross-encoder. It blocks: call it from a thread of its own."""

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One finite number per text, in the model's own unit; higher answers the question better.

        Raises:
            EMBEDDING_ERRORS: a text could not be read.
        """


class SentenceTransformersScorer:
    """A CrossEncoder on the CPU. Its numbers are taken as they leave the last layer."""

    def __init__(self, model: Any, unsquashed: Any) -> None:
        self._model = model
        self._unsquashed = unsquashed

    def score(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One finite number per text.

        Raises:
            EMBEDDING_ERRORS: a text could not be read, or the model does not give one finite number.
        """
        scores = self._model.predict(
            [(question[:_CHARACTERS], text[:_CHARACTERS]) for text in texts],
            batch_size=len(texts), show_progress_bar=False, activation_fn=self._unsquashed,
        )  # fmt: skip
        if scores.shape != (len(texts),):
            raise ValueError(f"expected one number per text, the model made {scores.shape}")
        numbers = [float(score) for score in scores]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("the model made a score that is not finite")
        return numbers


def load(setting: str, threads: int) -> Scorer:
    """Load the model RERANK_MODEL names; takes seconds. Call it in the thread that will use it.

    Args:
        setting: a folder, or a model name on the hub.
        threads: CPU threads torch may use.

    Raises:
        CrossEncoderUnavailable: the message says why and what to do.
    """
    path = Path(setting).expanduser()
    if not path.is_dir() and (path.is_absolute() or setting.startswith((".", "~"))):
        raise CrossEncoderUnavailable(f"RERANK_MODEL={setting} is no folder on this machine. Correct the path.")
    try:
        import torch
        from sentence_transformers import CrossEncoder
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise CrossEncoderUnavailable(
            f"RERANK_MODEL={setting}: sentence-transformers is not installed ({error}). {INSTALL_MODELS}."
        ) from error
    torch.set_num_threads(threads)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        name = str(path) if path.is_dir() else setting
        model = CrossEncoder(name, device="cpu", local_files_only=path.is_dir())
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CrossEncoderUnavailable(
            f"RERANK_MODEL={setting} could not be loaded as a cross-encoder ({reason}). Name a folder that holds one, or a "
            "model on the hub; leave it empty to go without."
        ) from error
    _require_a_head(setting, model)
    model.max_seq_length = min(model.max_seq_length or _WINDOW, _WINDOW)
    scorer = SentenceTransformersScorer(model, torch.nn.Identity())
    scorer.score("?", ["."])  # the first reading takes longer than all others: not while somebody waits
    return scorer


def _require_a_head(setting: str, model: Any) -> None:
    """Refuse a model that does not score pairs.

    Raises:
        CrossEncoderUnavailable: it is none; the message says what it is.
    """
    kinds = list(getattr(model.config, "architectures", None) or [])
    if not any(kind.endswith(_SCORING) for kind in kinds):
        raise CrossEncoderUnavailable(
            f"RERANK_MODEL={setting} is no cross-encoder, but {', '.join(kinds) or 'of an unknown kind'}: it has no layer "
            "that scores a pair. Name a cross-encoder, e.g. cross-encoder/ms-marco-MiniLM-L2-v2."
        )
    if model.num_labels != 1:
        raise CrossEncoderUnavailable(
            f"RERANK_MODEL={setting} gives {model.num_labels} numbers per pair, not one score. Name a cross-encoder for "
            "ranking, e.g. cross-encoder/ms-marco-MiniLM-L2-v2."
        )


class BackgroundCrossEncoder:
    """A cross-encoder that may not be there yet, or ever: recall goes on without it.

    Args:
        seconds: what one recall may wait for it.
    """

    def __init__(self, setting: str, threads: int, seconds: float) -> None:
        self._setting = setting
        self._threads = threads
        self._seconds = seconds
        self._status: Literal["ok", "loading", "failed"] = "loading"
        self._detail = "the cross-encoder is still loading"
        self._scorer: Scorer | None = None
        self._thread: EmbeddingThread | None = None
        self._task: asyncio.Task[None] | None = None
        self._decided = asyncio.Event()

    def start(self) -> None:
        """Begin loading; returns at once."""
        self._thread = EmbeddingThread()
        self._task = asyncio.create_task(self._prepare(self._thread), name="load cross-encoder")

    async def close(self) -> None:
        """Stop; a model that is still loading is abandoned."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._thread is not None:
            self._thread.close()

    async def decided(self) -> None:
        """Wait until the model is loaded or has failed."""
        await self._decided.wait()

    def health(self) -> PartHealth:
        """How it is, with the model's name."""
        return PartHealth.model_validate({"status": self._status, "detail": self._detail, "model": self._setting})

    async def attempt(self, given: Reading) -> Outcome[Sequence[float]]:
        """Scores of the first texts, as many as there is time for; `cause` is loading, failed, slow or broken."""
        scorer, thread = self._scorer, self._thread
        if scorer is None or thread is None:
            return Outcome(None, "loading" if self._status == "loading" else "failed")
        scores: list[float] = []
        reading = partial(_read, scorer, given, scores, time.monotonic() + self._seconds)
        try:
            async with asyncio.timeout(self._seconds):
                await thread.run(reading)
        except TimeoutError:
            pass  # what was read until now counts
        except EMBEDDING_ERRORS:
            log.exception("The cross-encoder could not read what was found; its first order stands")
            return Outcome(None, "broken")
        read = tuple(scores)
        return Outcome(read, None if len(read) == len(given.texts) else "slow")

    async def _prepare(self, thread: EmbeddingThread) -> None:
        started = time.monotonic()
        try:
            self._scorer = await thread.run(partial(load, self._setting, self._threads))
        except CrossEncoderUnavailable as error:
            self._status, self._detail = "failed", str(error)
            log.error("No reranking: %s", error)
        except (OSError, *EMBEDDING_ERRORS) as error:
            self._status = "failed"
            self._detail = f"RERANK_MODEL={self._setting} could not be loaded: {error}. See the service's log."
            log.exception("No reranking")
        else:
            self._status, self._detail = "ok", f"at most {self._seconds * 1000:.0f} ms of a recall"
            log.info("Cross-encoder %s loaded in %.1f s", self._setting, time.monotonic() - started)
        self._decided.set()


def _read(scorer: Scorer, given: Reading, scores: list[float], until: float) -> None:
    """Append the scores of `given`'s texts to `scores`, a few at a time, until the clock says `until`."""
    for start in range(0, len(given.texts), _RUN):
        if time.monotonic() >= until:
            return
        scores.extend(scorer.score(given.question, given.texts[start : start + _RUN]))
