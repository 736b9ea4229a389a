"""A memory service to measure: one of our own with an empty embedded database, or one that runs already."""

import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).parents[1]
# The embedding model takes 4 to 15 s to load on a busy machine.
READY_WITHIN_SECONDS = 120
_LOOK_EVERY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class ServiceUnderTest:
    """Where the service is and, when it is ours, which processes belong to it and how long they took to start.

    Attributes:
        data: its CASIOPY_DATA, where the service is ours.
        start_seconds: until /health answered, and until the embedding model was loaded; an empty database is made first.
    """

    url: str
    process: psutil.Process | None = None
    postmaster: psutil.Process | None = None
    data: Path | None = None
    start_seconds: dict[str, float] | None = None

    def peak_memory_mib(self) -> dict[str, float | None]:
        """Most memory the service ever held, and what the database's processes hold now; None where we cannot know."""
        return {"service": _peak(self.process), "database": _held(self.postmaster)}


def running_service(url: str) -> ServiceUnderTest:
    """The service at `url`; its processes stay unknown."""
    return ServiceUnderTest(url.rstrip("/"))


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that others may enter: started by root, the database runs as another user."""
    with tempfile.TemporaryDirectory(prefix="casiopy-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def started_service(folder: Path | None = None) -> Iterator[ServiceUnderTest]:
    """Start a service over the embedded database in `folder`, or over an empty one that is removed afterwards."""
    if folder is None:
        with open_folder() as empty, started_service(empty) as service:
            yield service
        return
    port, data = _free_port(), folder / "data"
    environment = os.environ | {
        "API_HOST": "127.0.0.1", "API_PORT": str(port), "CASIOPY_DATA": str(data), "DATABASE_URL": "",
        "API_KEY": "", "INIT_SCRIPTS_DIR": str(ROOT / "init-scripts"),
    }  # fmt: skip
    command = [sys.executable, "-m", "memory_service", "serve"]
    begun = time.monotonic()
    with (folder / "service.out").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        seconds = _wait_until_ready(url, process, folder / "service.out", begun)
        yield ServiceUnderTest(url, psutil.Process(process.pid), _postmaster(data), data, seconds)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", output: Path, begun: float) -> dict[str, float]:
    """Seconds since `begun` until the service answered, and until it could embed."""
    seconds: dict[str, float] = {}
    while time.monotonic() < begun + READY_WITHIN_SECONDS and process.poll() is None:
        try:
            answer = httpx.get(f"{url}/health")
        except httpx.TransportError:
            time.sleep(_LOOK_EVERY_SECONDS)
            continue
        if answer.is_success:
            seconds.setdefault("health", round(time.monotonic() - begun, 2))
        if seconds and answer.json()["checks"].get("embedder", {}).get("status") == "ok":
            return seconds | {"embedder": round(time.monotonic() - begun, 2)}
        time.sleep(_LOOK_EVERY_SECONDS)
    sys.exit(f"The service did not come up:\n{output.read_text(errors='replace')[-3000:]}")


def _postmaster(data: Path) -> psutil.Process | None:
    found = next(data.rglob("postmaster.pid"), None)
    return psutil.Process(int(found.read_text().split()[0])) if found else None


def _peak(process: psutil.Process | None) -> float | None:
    if process is None:
        return None
    status = Path(f"/proc/{process.pid}/status")
    if status.is_file():
        kib = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(kib) / 1024, 1)
    return round(process.memory_info().rss / 2**20, 1)


def _held(postmaster: psutil.Process | None) -> float | None:
    """Proportional set size of all server processes: shared pages are counted once."""
    if postmaster is None:
        return None
    try:
        parts = [one.memory_full_info().pss for one in (postmaster, *postmaster.children(recursive=True))]
    except (psutil.AccessDenied, AttributeError):
        return None
    return round(sum(parts) / 2**20, 1)


def hardware() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.is_file() else []
    model = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "commit": commit.stdout.strip() or "unknown",
        "hardware": {
            "cpu": model,
            "cores": psutil.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "load_average": round(load, 2) if load is not None else None,
            "system": platform.platform(),
            "python": platform.python_version(),
            "threads": {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "EMBEDDING_THREADS")},
        },
    }
