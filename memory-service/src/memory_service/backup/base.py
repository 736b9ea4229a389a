"""Full base backups of the embedded server: every byte it keeps, roles included, restored by unpacking."""

import tarfile
from pathlib import Path

from memory_service.backup.server import BackupError, DatabaseServer

# What pg_basebackup writes in tar format, and so what is inside a base backup.
_MEMBERS = ("base.tar.gz", "backup_manifest")


def take_base_backup(server: DatabaseServer, aside: Path) -> Path:
    """Copy the running server's data, verified against its manifest, into one file below `aside`."""
    parts = aside / "base"
    server.run(
        "pg_basebackup", "-w", "--format=tar", "--compress=client-gzip:1", "--wal-method=fetch", "--checkpoint=fast",
        "--label=casiopy", "-D", parts,
    )  # fmt: skip
    _verify(server, parts)
    packed = aside / "base.tar"
    with tarfile.open(packed, "w") as archive:
        for name in _MEMBERS:
            archive.add(parts / name, name)
            (parts / name).unlink()
    return packed


def unpack_base_backup(server: DatabaseServer, packed: Path, aside: Path) -> Path:
    """Verify a base backup and unpack it; returns the data folder below `aside`.

    Raises:
        BackupError: it is not one of ours, or damaged.
    """
    parts, pgdata = aside / "parts", aside / "pgdata"
    parts.mkdir(parents=True)
    try:
        with tarfile.open(packed) as archive:
            for name in _MEMBERS:
                archive.extract(name, parts, filter="data")
        _verify(server, parts)
        with tarfile.open(parts / _MEMBERS[0]) as archive:
            pgdata.mkdir(mode=0o700)
            archive.extractall(pgdata, filter="data")
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise BackupError(f"{packed.name} is not a base backup of Casiopy, or damaged: {error}.") from error
    (parts / _MEMBERS[0]).unlink()
    return pgdata


def _verify(server: DatabaseServer, parts: Path) -> None:
    # WAL inside a tar cannot be parsed by pg_waldump; the manifest's checksums cover its bytes.
    server.run("pg_verifybackup", "--format=tar", "--no-parse-wal", "--quiet", parts)
