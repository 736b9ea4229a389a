"""What every process but the first does in a run over several: wait for the job, and compute its share."""

from __future__ import annotations

import signal

from persona_training.backends import choose_backend
from persona_training.backends.backend import Job, Step
from persona_training.processes import connect, shared


class _Unheard:
    """The first process's monitor watches the run."""

    def stage(self, name: str) -> None:
        return

    def step(self, step: Step) -> None:
        return

    def should_stop(self) -> bool:
        return False


def follow() -> None:
    """Compute this process's share of the run that the first process prepares."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A stop is the first process's to decide, or half of them would be gone while it saves.
        signal.signal(number, signal.SIG_IGN)
    process = connect()
    job: Job = shared(None, process)
    choose_backend(job.recipe.backend).run(job, _Unheard(), process)
