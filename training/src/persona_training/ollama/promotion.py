"""Make a created model live, or leave every name as it was.

A model is created under `<name>:candidate`, which nobody uses. Only when it has spoken do the real names move, each kept
under a spare name until all have moved. What was live stays reachable as `<name>:previous`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from persona_training.ollama.ledger import LIVE
from persona_training.ollama.server import OllamaError, OllamaServer


class HalfMovedError(OllamaError):
    """Some names moved and could not be moved back. Exit code 4."""


@dataclass(frozen=True)
class Names:
    """The names of one character's models on a server."""

    tag: str

    @property
    def name(self) -> str:
        """`casiopy` of `casiopy:week05`."""
        return self.tag.partition(":")[0]

    @property
    def live(self) -> str:
        """What clients use."""
        return f"{self.name}:{LIVE}"

    @property
    def previous(self) -> str:
        """What was live before; a rollback swaps it with `live`."""
        return f"{self.name}:previous"

    @property
    def candidate(self) -> str:
        """Where a model is created and tried."""
        return f"{self.name}:candidate"

    @property
    def bare(self) -> str:
        """The base without the layers, there for the length of a comparison."""
        return f"{self.name}:bare"


@dataclass(frozen=True)
class Moved:
    """Digests after a change: of what is live now and of what was live before (None for nothing)."""

    digest: str
    replaced: str | None


def promote(server: OllamaServer, names: Names) -> Moved:
    """Move the tag, `previous` and `latest` to their new models; on any failure, and on Ctrl-C, move back what had moved.

    Raises:
        OllamaError: a step failed; every name is as it was, or the message says which is not.
    """
    digests = server.digests()
    before = digests.get(names.live)
    spares = [_spare(target) for target in (names.previous, names.tag, names.live)]
    with _undone_on_failure(server, spares) as undo:
        if before is not None and before != digests[names.candidate]:
            _move(server, names.live, names.previous, digests, undo)
        for target in dict.fromkeys((names.tag, names.live)):
            _move(server, names.candidate, target, digests, undo)
        after = server.digests()
        if any(after.get(target) != digests[names.candidate] for target in (names.tag, names.live)):
            raise OllamaError(f"Ollama answered, but {names.live} is not the new model.")
    _sweep(server, [names.candidate, *spares])
    # An attempt that was killed after its last move has made this very model live: what it replaced is `previous`.
    replaced = digests.get(names.previous) if before == digests[names.candidate] else before
    return Moved(digest=digests[names.candidate], replaced=replaced)


def roll_back(server: OllamaServer, names: Names) -> Moved:
    """Swap `latest` and `previous`, so that rolling back twice changes nothing.

    Raises:
        OllamaError: there is nothing to roll back to, or a step failed and every name is as it was.
    """
    digests = both_versions(server, names)
    spares = [_spare(names.live), _spare(names.previous)]
    with _undone_on_failure(server, spares) as undo:
        _move(server, names.previous, names.live, digests, undo)
        _move(server, _spare(names.live), names.previous, digests, undo)
    _sweep(server, spares)
    return Moved(digest=digests[names.previous], replaced=digests[names.live])


def both_versions(server: OllamaServer, names: Names) -> dict[str, str]:
    """Every digest on the server, the live version's and that of the one before it among them.

    Raises:
        OllamaError: one of the two is not there.
    """
    digests = server.digests()
    if names.previous not in digests or names.live not in digests:
        raise OllamaError(f"Nothing to roll back to: {server.url} serves no {names.previous} beside {names.live}.")
    return digests


def discard(server: OllamaServer, names: Names) -> None:
    """Remove a candidate that did not make it; a server that fails even at that changes nothing about the failure."""
    _sweep(server, [names.candidate, names.bare])


def _spare(tag: str) -> str:
    return f"{tag}-before"


def _move(
    server: OllamaServer, source: str, target: str, digests: dict[str, str], undo: list[Callable[[], None]]
) -> None:
    if target in digests:
        server.copy(target, _spare(target))
        undo.append(lambda: server.copy(_spare(target), target))
    else:
        undo.append(lambda: _forget(server, target))
    server.copy(source, target)


def _forget(server: OllamaServer, tag: str) -> None:
    if server.serves(tag):
        server.delete(tag)


@contextmanager
def _undone_on_failure(server: OllamaServer, spares: list[str]) -> Iterator[list[Callable[[], None]]]:
    """Names that had moved are moved back, also after Ctrl-C."""
    undo: list[Callable[[], None]] = []
    try:
        yield undo
    except (OllamaError, KeyboardInterrupt) as failure:
        broken = [str(error) for error in (_failure_of(step) for step in reversed(undo)) if error is not None]
        if broken:
            raise HalfMovedError(
                f"{str(failure) or 'Stopped.'} Moving back failed too ({'; '.join(broken)}). The models are still there "
                "under names that end in -before: restore them with `ollama cp`."
            ) from failure
        _sweep(server, spares)
        raise


def _failure_of(step: Callable[[], None]) -> OllamaError | None:
    try:
        step()
    except OllamaError as error:
        return error
    return None


def _sweep(server: OllamaServer, tags: list[str]) -> None:
    """Remove names nobody needs; one that cannot be removed now is in nobody's way."""
    for tag in tags:
        _failure_of(partial(_forget, server, tag))
