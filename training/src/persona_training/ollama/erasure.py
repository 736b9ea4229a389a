"""What people had erased stays erased: layers that learned from it are not served again."""

from __future__ import annotations

from collections.abc import Sequence

from persona_training.display import Display
from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.service import MemoryService


class ErasedError(PersonaTrainingError):
    """A layer learned from something that was erased since. No option overrules this. Exit code 1."""


def refuse_erased(service: MemoryService, adapter_ids: Sequence[str], display: Display) -> None:
    """Ask the memory service about every layer; say so when it cannot tell.

    Raises:
        ErasedError: one of them learned from what somebody had erased.
    """
    for adapter_id in adapter_ids:
        known = service.adapter(adapter_id)
        if known is None:
            display.fact("erased?", f"not known: the memory service at {service.url} does not answer")
            return
        if isinstance(known, str):
            display.fact("erased?", f"not known of {adapter_id}: {known}")
        elif known.get("tainted_at"):
            raise ErasedError(
                f"{adapter_id} learned from exchanges that somebody had erased on {str(known['tainted_at'])[:10]}, so it is "
                "not served (again); --force does not change that. Export again, train that layer again, and deploy the "
                "new one."
            )
