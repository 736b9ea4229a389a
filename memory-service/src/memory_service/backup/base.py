"""Full base backups of the embedded server: every byte it keeps, roles included, restored by unpacking.

The manifest is checked here because the packaged `pg_verifybackup` (18.4) crashes as soon as it is called.
"""

import hashlib
import json
import tarfile
import zlib
from pathlib import Path

from memory_service.backup.server import BackupError, DatabaseServer

# What pg_basebackup writes in tar format, and so what is inside a base backup.
_DATA, _MANIFEST = "base.tar.gz", "backup_manifest"
# The log changes while it is copied and is partly listed only; its records carry checksums of their own.
_LOG = "pg_wal/"


def take_base_backup(server: DatabaseServer, aside: Path) -> Path:
    """Copy the running server's data, verified against its manifest, into one file below `aside`."""
    parts = aside / "base"
    server.run(
        "pg_basebackup", "-w", "--format=tar", "--compress=client-gzip:1", "--wal-method=fetch", "--checkpoint=fast",
        "--manifest-checksums=SHA256", "--label=casiopy", "-D", parts,
    )  # fmt: skip
    verify(parts)
    packed = aside / "base.tar"
    with tarfile.open(packed, "w") as archive:
        for name in (_MANIFEST, _DATA):
            archive.add(parts / name, name)
            (parts / name).unlink()
    return packed


def unpack_base_backup(packed: Path, aside: Path) -> Path:
    """Verify a base backup and unpack it; returns the data folder below `aside`.

    Raises:
        BackupError: it is not one of ours, or damaged.
    """
    parts, pgdata = aside / "parts", aside / "pgdata"
    parts.mkdir(parents=True)
    try:
        with tarfile.open(packed) as archive:
            for name in (_MANIFEST, _DATA):
                archive.extract(name, parts, filter="data")
        verify(parts)
        pgdata.mkdir(mode=0o700)
        with tarfile.open(parts / _DATA) as archive:
            archive.extractall(pgdata, filter="data")
    except (tarfile.TarError, zlib.error, KeyError, OSError, EOFError) as error:
        raise BackupError(f"{packed.name} is not a base backup of Casiopy, or damaged: {error}.") from error
    (parts / _DATA).unlink()
    return pgdata


def verify(parts: Path) -> None:
    """Compare every file in the archive with the manifest, and the manifest with its own checksum.

    Raises:
        BackupError: something is missing, added or changed.
    """
    listed = _listed(parts / _MANIFEST)
    found: dict[str, str] = {}
    with tarfile.open(parts / _DATA) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                found[member.name.removeprefix("./")] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    wrong = sorted(
        path
        for path in listed.keys() | found.keys()
        if listed.get(path) != found.get(path) and not path.startswith(_LOG)
    )
    if wrong:
        raise BackupError(
            f"The base backup is damaged: {len(wrong)} files differ from its manifest, the first is {wrong[0]}."
        )


def _listed(manifest: Path) -> dict[str, str]:
    """SHA-256 by path, from PostgreSQL's backup manifest."""
    content = manifest.read_bytes()
    signed, _, _ = content.rpartition(b'"Manifest-Checksum"')
    try:
        parsed = json.loads(content)
        intact = parsed["Manifest-Checksum"] == hashlib.sha256(signed).hexdigest()
        files = {entry["Path"]: entry["Checksum"] for entry in parsed["Files"]}
    except (ValueError, KeyError) as error:
        raise BackupError(f"The base backup's manifest cannot be read ({error}).") from error
    if not intact:
        raise BackupError("The base backup's manifest is damaged.")
    return files
