"""The dashboard's settings: environment variables or a `.env` file in the working folder, declared once."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised here so that they can be warned about
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class SettingsError(Exception):
    """A setting has a value the dashboard cannot work with; the message names it and says what it accepts."""


class Settings(BaseSettings):
    """Everything that can be set from outside; a field's name in capitals is the variable's name."""

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    dashboard_host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; it has no login.")
    dashboard_port: int = Field(5000, ge=1, le=65535, description="Port to listen on.")
    dashboard_allowed_hosts: str = Field(
        "", description="Further host names a browser may use to reach it, separated by commas."
    )
    memory_service_url: str = Field(
        "http://127.0.0.1:8820", pattern=r"^https?://\S+$", description="Where the memory service answers."
    )
    api_key: SecretStr | None = Field(None, description="Key for the memory service; not needed on loopback.")
    exports_dir: Path = Field(Path("exports"), description="Folder of the datasets.")
    lora_adapters_dir: Path = Field(Path("lora_adapters"), description="Folder of runs, adapters and reports.")

    @field_validator("memory_service_url")
    @classmethod
    def _without_trailing_slash(cls, url: str) -> str:
        return url.rstrip("/")

    @property
    def trusted_hosts(self) -> list[str]:
        """Host names a request may carry; anything else is refused, which stops DNS rebinding."""
        named = [name.strip() for name in self.dashboard_allowed_hosts.split(",")]
        if self.dashboard_host not in WILDCARDS:
            named.append(self.dashboard_host)
        return list(dict.fromkeys([*LOOPBACK_NAMES, *(name.lower() for name in named if name)]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the dashboard."""
        if self.dashboard_host == "localhost":
            return True
        try:
            return ip_address(self.dashboard_host).is_loopback
        except ValueError:
            return False


def load_settings() -> Settings:
    """Read the settings, raising `SettingsError` with one line per value that cannot be used."""
    try:
        return Settings()
    except ValidationError as failure:
        lines = [f"{'.'.join(map(str, error['loc'])).upper()}: {error['msg']}" for error in failure.errors()]
        raise SettingsError("Correct these settings (environment or .env): " + "; ".join(lines)) from failure
