"""Settings of backups, from the environment or `.env`."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class BackupSettings(BaseSettings):
    """Where backups go and whom they are encrypted for."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True)

    # Folder with hourly/, daily/ and weekly/, relative to the working folder.
    backups_dir: Path = Path("backups")
    # Public key (age1…) that backups are sealed for. Unset: they are not encrypted.
    backup_recipient: str | None = None
    # File with the secret key, read only by restore and rehearse. Keep it on another machine.
    backup_identity: Path | None = None
