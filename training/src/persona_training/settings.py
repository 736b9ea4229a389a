"""Where training finds its folders and the memory service: environment first, then `.env`, then the default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from persona_training.errors import PersonaTrainingError


@dataclass(frozen=True)
class Settings:
    """Folders named in the environment are used as given; the defaults lie in the project's root folder, wherever
    inside the project a script is started.

    Attributes:
        data_dir: `CASIOPY_DATA`, caches such as the tiny base model.
        exports_dir: `EXPORTS_DIR`, one folder per dataset.
        adapters_dir: `LORA_ADAPTERS_DIR`, one folder per trained adapter.
        memory_service_url: `MEMORY_SERVICE_URL`, without a trailing slash.
        api_key: `API_KEY`, sent as a bearer token when set.
    """

    data_dir: Path = Path(".casiopy")
    exports_dir: Path = Path("exports")
    adapters_dir: Path = Path("lora_adapters")
    memory_service_url: str = "http://127.0.0.1:8820"
    api_key: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, root: Path | None = None) -> Settings:
        """Read the settings; an empty value counts as absent.

        Raises:
            PersonaTrainingError: the `.env` cannot be read.
        """
        root = root or project_root()
        chosen = _written_in(root / ".env")
        chosen.update({k: v for k, v in (os.environ if environ is None else environ).items() if v})
        return cls(
            data_dir=_folder(chosen.get("CASIOPY_DATA"), root / cls.data_dir),
            exports_dir=_folder(chosen.get("EXPORTS_DIR"), root / cls.exports_dir),
            adapters_dir=_folder(chosen.get("LORA_ADAPTERS_DIR"), root / cls.adapters_dir),
            memory_service_url=chosen.get("MEMORY_SERVICE_URL", cls.memory_service_url).rstrip("/"),
            api_key=chosen.get("API_KEY"),
        )


def _written_in(env_file: Path) -> dict[str, str]:
    try:
        return {k: v for k, v in dotenv_values(env_file).items() if v} if env_file.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise PersonaTrainingError(f"{env_file} cannot be read ({error}). Save it as UTF-8.") from error


def _folder(chosen: str | None, default: Path) -> Path:
    return Path(chosen) if chosen else default


def project_root(start: Path | None = None) -> Path:
    """The nearest folder upwards that holds both `exports` and `lora_adapters`; the working directory if none does."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "exports").is_dir() and (folder / "lora_adapters").is_dir():
            return folder
    return here
