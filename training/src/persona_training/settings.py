"""Where training finds its folders and the memory service: environment first, then `.env`, then the default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values


@dataclass(frozen=True)
class Settings:
    """Folders are used as given (relative ones against the working directory).

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
    def from_env(cls, environ: Mapping[str, str] | None = None, env_file: Path = Path(".env")) -> Settings:
        """Read the settings; an empty value counts as absent."""
        chosen = {k: v for k, v in dotenv_values(env_file).items() if v} if env_file.is_file() else {}
        chosen.update({k: v for k, v in (os.environ if environ is None else environ).items() if v})
        return cls(
            data_dir=Path(chosen.get("CASIOPY_DATA", str(cls.data_dir))),
            exports_dir=Path(chosen.get("EXPORTS_DIR", str(cls.exports_dir))),
            adapters_dir=Path(chosen.get("LORA_ADAPTERS_DIR", str(cls.adapters_dir))),
            memory_service_url=chosen.get("MEMORY_SERVICE_URL", cls.memory_service_url).rstrip("/"),
            api_key=chosen.get("API_KEY"),
        )
