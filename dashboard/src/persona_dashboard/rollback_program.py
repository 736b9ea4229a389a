"""The one thing the dashboard has done for it: `casiopy deploy --rollback`, as a process of its own on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

# A rollback is a dozen requests to Ollama, each answered at once; an Ollama that is stuck is not waited for.
SECONDS = 60.0
PROGRAM = "persona_training"


@dataclass(frozen=True)
class RolledBack:
    """How it ended: `refusal` is the program's own sentence, empty when the version before is live again."""

    refusal: str = ""
    unchanged: bool = True


@dataclass(frozen=True)
class RollbackProgram:
    """Where the program finds its folder and the memory service; Ollama's address is its own setting, OLLAMA_HOST."""

    adapters_dir: Path
    service_url: str
    api_key: str | None

    @property
    def here(self) -> bool:
        """Whether the program is installed beside the dashboard; in a container of its own it is not."""
        return find_spec(PROGRAM) is not None

    def run(self, name: str, why: str) -> RolledBack:
        """Make the version before live again, and say how it went; never raises."""
        command = [sys.executable, "-m", PROGRAM, "deploy", "--rollback", f"--name={name}", "--by=dashboard"]
        if why:
            command.append(f"--reason={why}")
        environment = {
            **os.environ,
            "LORA_ADAPTERS_DIR": str(self.adapters_dir.resolve()),
            "MEMORY_SERVICE_URL": self.service_url,
            "PYTHONIOENCODING": "utf-8",
            **({"API_KEY": self.api_key} if self.api_key else {}),
        }
        try:
            done = subprocess.run(
                command,
                check=False,
                env=environment,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return RolledBack(f"It did not end within {SECONDS:.0f} seconds. `ollama list` shows what is live.", False)
        except OSError as failure:
            return RolledBack(f"{command[0]}: {failure.strerror}")
        return RolledBack() if done.returncode == 0 else RolledBack(_last_words(done))


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    said = (done.stderr.strip() or done.stdout.strip()).rpartition("Error: ")[2].strip()
    return said or f"exit code {done.returncode}"
