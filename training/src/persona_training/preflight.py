"""The look before the first step: will it fit, is it worth learning, may it be learned, will it be served as learned?

Nothing is written before it is over. A finding of level "fail" stops the run; a "note" is shown and the run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator

from persona_training.display import Display
from persona_training.errors import PersonaTrainingError
from persona_training.findings import Check
from persona_training.preflight_room import check_disk, check_memory
from persona_training.preflight_rows import check_learned, check_personal_data, check_repeats, check_row_count
from persona_training.preflight_template import check_template
from persona_training.preparation import Prepared
from persona_training.settings import Settings


class PreflightError(PersonaTrainingError):
    """Something stands in the way of a run; nothing was written."""


def preflight(prepared: Prepared, settings: Settings, display: Display, device_in_use: bool = False) -> list[Check]:
    """Check everything and show it.

    Args:
        device_in_use: another run has the device; its memory will be free by the time this one begins, and is counted so.

    Raises:
        PreflightError: a check failed; the message repeats what and the remedy.
    """
    found = list(_checks(prepared, settings, device_in_use))
    display.checks("checked", found)
    require(*found)
    return found


def require(*checks: Check) -> None:
    """Refuse to begin where a check failed.

    Raises:
        PreflightError: one did.
    """
    if failed := [check for check in checks if check.failed]:
        told = "\n".join(f"- {check.name}: {check.found}. {check.remedy}" for check in failed)
        raise PreflightError(f"Not started:\n{told}")


def _checks(prepared: Prepared, settings: Settings, device_in_use: bool) -> Iterator[Check]:
    yield check_memory(prepared, device_in_use)
    yield check_disk(prepared, settings.adapters_dir)
    yield check_row_count(prepared)
    yield check_learned(prepared)
    yield check_personal_data(prepared)
    yield check_repeats(prepared.dataset)
    yield check_template(prepared)
