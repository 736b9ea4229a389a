"""Checksums, and encryption for the owner's public key with age (pyrage), so that a stolen backup tells nothing."""

import hashlib
import os
from pathlib import Path
from types import ModuleType

from memory_service.backup.server import BackupError


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_against_sidecar(path: Path, sidecar: Path) -> None:
    """Compare `path` with its checksum file.

    Raises:
        BackupError: they differ: the file is damaged or was changed.
    """
    words = sidecar.read_text(encoding="utf-8").split()
    if not words or words[0] != sha256_of(path):
        raise BackupError(f"{path} is damaged: its SHA-256 is not the one in {sidecar.name}. Use another backup.")


def seal(path: Path, sealed: Path, recipient: str) -> None:
    """Encrypt `path` into `sealed` for `recipient` (an `age1…` public key).

    Raises:
        BackupError: pyrage is missing, or the key is none.
    """
    age = _pyrage()
    try:
        key = age.x25519.Recipient.from_str(recipient)
    except age.RecipientError as error:
        raise BackupError(f"BACKUP_RECIPIENT is not an age public key ({error}). It looks like age1….") from None
    age.encrypt_file(os.fspath(path), os.fspath(sealed), [key])


def unseal(sealed: Path, path: Path, identity_file: Path | None) -> None:
    """Decrypt `sealed` into `path` with the secret key in `identity_file` (as `age-keygen` writes it).

    Raises:
        BackupError: no identity, an unreadable one, or one the backup was not sealed for.
    """
    if identity_file is None:
        raise BackupError(
            f"{sealed} is encrypted: pass --identity FILE (or set BACKUP_IDENTITY), the key file age-keygen made."
        )
    age = _pyrage()
    try:
        lines = identity_file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BackupError(f"Cannot read the identity file {identity_file}: {error.strerror}.") from None
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    try:
        identities = [age.x25519.Identity.from_str(key) for key in keys]
        age.decrypt_file(os.fspath(sealed), os.fspath(path), identities)
    except (age.IdentityError, age.DecryptError) as error:
        raise BackupError(f"{identity_file} does not open {sealed.name}: {error}.") from None


def _pyrage() -> ModuleType:
    try:
        import pyrage
    except ModuleNotFoundError:
        raise BackupError(
            "Encrypted backups need pyrage: run `pip install 'casiopy-memory-service[backup]'`."
        ) from None
    module: ModuleType = pyrage
    return module
