"""The watch: now and then the live version is heard again, and a hard fail brings back the version before.

Only a hard fail acts (template tokens, loops, leaks, a wrong language): such a rule is broken or not, without statistics.
Softer findings on so few replies are reported and left to a person.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from persona_training.display import Display
from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.replies import SERVED
from persona_training.evaluation.service import MemoryService
from persona_training.ollama.erasure import ErasedError
from persona_training.ollama.ledger import found_bad
from persona_training.ollama.promotion import Names
from persona_training.ollama.rollback import ChangedError, foresee, undo
from persona_training.ollama.server import OllamaError, OllamaServer
from persona_training.ollama.smoke import smoke_test
from persona_training.settings import Settings

_SECONDS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Heard:
    """What a look at a tag found.

    Attributes:
        hard: rules that were broken, in sentences; any of them brings back the version before.
        soft: everything else worth a person's look.
    """

    hard: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()


# Hears a tag through Ollama and judges it.
Ear = Callable[[str], Heard]


class Outcome(StrEnum):
    """How a look ended."""

    FINE = "fine"
    WARNED = "warned"
    ROLLED_BACK = "rolled back"  # in a dry run: would be
    KEPT = "kept"  # broken, and nothing better to go back to


EXIT_CODES = {Outcome.FINE: 0, Outcome.WARNED: 0, Outcome.ROLLED_BACK: 5, Outcome.KEPT: 6}


@dataclass(frozen=True)
class Watch:
    """One character's live tag on one server, and how it is heard; a dry run says what it would do, and does not do it."""

    name: str
    ear: Ear
    server: OllamaServer
    service: MemoryService
    settings: Settings
    display: Display
    dry_run: bool = False

    def look(self) -> Outcome:
        """Hear the live version once; on a hard fail go back to the version before, if that is any better.

        Raises:
            OllamaError: Ollama is away or failed; nothing was decided.
            PersonaTrainingError: the version could not be judged, or a deployment is under way.
        """
        names = Names(f"{self.name}:watched")
        before = self.server.digests().get(names.live)
        if before is None:
            raise OllamaError(f"Nothing to watch: {self.server.url} serves no {names.live}. Deploy a version first.")
        heard = self.ear(names.live)
        for sentence in heard.soft:
            self.display.fact("warning", sentence)
        if not heard.hard:
            self.display.fact("watch", f"{names.live} breaks no hard rule; it stays")
            return Outcome.WARNED if heard.soft else Outcome.FINE
        for sentence in heard.hard:
            self.display.fact("hard fail", sentence)
        if self.server.digests().get(names.live) != before:
            return self._changed(names)
        return self._go_back(names, before, "hard fail: " + "; ".join(heard.hard))

    def _changed(self, names: Names) -> Outcome:
        self.display.fact("watch", f"{names.live} was changed while it was heard; the new one is heard next time")
        return Outcome.WARNED

    def _go_back(self, names: Names, heard: str, why: str) -> Outcome:
        obstacle = self._obstacle(names)
        if obstacle is None:
            try:
                self._undo(why, heard)
            except ChangedError:
                return self._changed(names)
            except ErasedError as error:
                obstacle = error.message
            else:
                did = "WOULD ROLL BACK" if self.dry_run else "ROLLED BACK"
                self.display.fact("watch", f"{did} {names.live}: {why}")
                return Outcome.ROLLED_BACK
        self.display.fact("watch", f"KEPT {names.live} although it is broken: {obstacle} Deploy a version that passes.")
        return Outcome.KEPT

    def _undo(self, why: str, heard: str) -> None:
        if self.dry_run:
            foresee(self.name, self.server, self.service, self.settings, self.display)
        else:
            undo(self.name, self.server, self.service, self.settings, self.display, why=why, by="watch", expected=heard)

    def _obstacle(self, names: Names) -> str | None:
        """Why going back would help nobody, or None."""
        digests = self.server.digests()
        previous = digests.get(names.previous)
        if previous is None or previous == digests.get(names.live):
            return "there is no version before."
        bad = found_bad(self.settings.adapters_dir, names.live, previous)
        if bad is not None:
            return f"the version before was rolled back from too ({bad})."
        faults = smoke_test(self.server, names.previous, SERVED).faults
        return f"the version before fails its smoke test ({'; '.join(faults)})." if faults else None

    def keep_looking(self, every: float, sleep: Callable[[float], None] = time.sleep, looks: int | None = None) -> None:
        """Look, wait, look again; what goes wrong is said, and the next look comes all the same.

        Args:
            every: seconds between looks.
            sleep: how to wait.
            looks: how often; None: until the process is ended.
        """
        done = 0
        while looks is None or done < looks:
            if done:
                sleep(every)
            try:
                self.look()
            except PersonaTrainingError as error:
                self.display.fact("watch", f"this look decided nothing: {error.message}")
            done += 1


def seconds_of(text: str) -> float:
    """21600.0 for "6h"; m, h and d are known.

    Raises:
        ValueError: anything else, or less than a minute.
    """
    match = re.fullmatch(r"(\d{1,6})([mhd])", text.strip())
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if seconds < 60:
        raise ValueError(f"{text!r} is no span of time: give a whole number and m, h or d, such as 30m, 6h or 1d.")
    return float(seconds)
