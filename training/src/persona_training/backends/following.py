"""What every process but the first does in a run over several: wait for the job, and compute its share."""

from __future__ import annotations

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
    process = connect()
    job: Job = shared(None, process)
    choose_backend(job.recipe.backend).run(job, _Unheard(), process)
