"""Back to the version before: `latest` and `previous` change places, so that rolling back twice changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from persona_training.display import Display
from persona_training.evaluation.service import MemoryService
from persona_training.ollama.erasure import refuse_erased
from persona_training.ollama.ledger import By, Entry, deployed_as, exclusively, record
from persona_training.ollama.promotion import Moved, Names, both_versions, roll_back
from persona_training.ollama.server import OllamaError, OllamaServer
from persona_training.run_folder import now
from persona_training.settings import Settings


class ChangedError(OllamaError):
    """Another deployment was quicker. Exit code 4."""


def undo(
    name: str,
    server: OllamaServer,
    service: MemoryService,
    settings: Settings,
    display: Display,
    *,
    why: str | None = None,
    by: By = "command",
    expected: str | None = None,
) -> Entry:
    """Roll `<name>:latest` back to `<name>:previous`, and put it on record with who asked and why.

    Args:
        expected: digest of the version to roll back from; None for whatever is live.

    Raises:
        ChangedError: something else than what was expected is live; nothing changed.
        OllamaError: there is nothing to roll back to, or Ollama failed and nothing changed.
        ErasedError: the version before learned from what somebody had erased since; nothing changed.
        StorageError: a deployment is under way.
    """
    names = Names(f"{name}:rollback")
    with exclusively(settings.adapters_dir):
        digests = server.digests()
        if expected is not None and digests.get(names.live) != expected:
            raise ChangedError(f"{names.live} was changed meanwhile. Nothing was rolled back.")
        known = _known(settings, digests.get(names.previous))
        refuse_erased(service, adapters_of(known), display)
        entry = replace(_entry(names, roll_back(server, names), known, server.url), by=by, why=why)
        record(settings.adapters_dir, entry)
    display.fact("live", f"{names.live} is {entry.tag} again ({entry.adapter_id or 'of unknown origin'})")
    if entry.adapter_id:
        smoke = {"ok": True, "event": "rollback", "by": by, "why": why}
        body = {"tag": names.live, "host": server.url, "live": True, "smoke": smoke}
        display.fact("service", service.register_deployment(entry.adapter_id, body, f"rollback-{entry.at}"))
    return entry


def foresee(name: str, server: OllamaServer, service: MemoryService, settings: Settings, display: Display) -> None:
    """Say what `undo` would do, after the same checks; nothing changes.

    Raises:
        OllamaError: there is nothing to roll back to, or Ollama failed.
        ErasedError: the version before learned from what somebody had erased since.
    """
    names = Names(f"{name}:rollback")
    known = _known(settings, both_versions(server, names)[names.previous])
    refuse_erased(service, adapters_of(known), display)
    version = f"{known.get('tag', names.previous)} again ({known.get('adapter_id') or 'of unknown origin'})"
    display.fact("dry run", f"nothing was changed; {names.live} would be {version}")


def _entry(names: Names, moved: Moved, known: dict[str, Any], host: str) -> Entry:
    """`known` is the newest line about the model that is live again; empty for one of unknown origin."""
    return Entry(
        event="rollback",
        tag=str(known.get("tag", names.previous)),
        live=names.live,
        digest=moved.digest,
        adapter_id=known.get("adapter_id"),
        weights_sha256=known.get("weights_sha256"),
        gguf_sha256=known.get("gguf_sha256"),
        report_id=known.get("report_id"),
        forced=known.get("forced"),
        replaced=moved.replaced,
        host=host,
        at=now(),
        skills=list(known.get("skills") or []),
    )


def _known(settings: Settings, digest: str | None) -> dict[str, Any]:
    return (deployed_as(settings.adapters_dir, digest) if digest else None) or {}


def adapters_of(entry: dict[str, Any]) -> list[str]:
    """Every adapter a ledger entry says was served."""
    return [adapter_id for adapter_id in (entry.get("adapter_id"), *(entry.get("skills") or [])) if adapter_id]
