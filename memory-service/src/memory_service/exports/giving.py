"""Giving datasets out: manifests, and rows written again from their exchanges (docs/decisions/0005)."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.core_memory import service as core_memory
from memory_service.db import Database
from memory_service.errors import Conflict, NotFound, ServiceError
from memory_service.exports import manifest as manifests
from memory_service.exports import repository
from memory_service.exports.dataset import SPLITS, Place
from memory_service.exports.redaction import REDACTION_VERSION
from memory_service.exports.rendering import SourcesMissing, Transaction, Wording, lines, make_writer
from memory_service.exports.sources import AT_ONCE
from memory_service.exports.writing import Writer


class DatasetChanged(Conflict):
    """The rows of a dataset cannot be written again as they were."""

    code = "dataset_changed"


class NoSuchByte(ServiceError):
    """A range beyond the end of a file."""

    status = 416
    code = "range_not_satisfiable"

    def __init__(self, start: int, size: int) -> None:
        super().__init__(f"The file has {size} bytes, and byte {start} was asked for. Fetch it from the start.")


async def manifest_of(connection: AsyncConnection, export_id: str) -> tuple[dict[str, Any], int]:
    """A dataset's manifest without its rows, and how many those are. Raises NotFound."""
    record = await _record(connection, export_id)
    head: dict[str, Any] = record.manifest
    return head, int(head["exchanges"])


def head_bytes(head: dict[str, Any]) -> bytes:
    """A manifest without its rows as JSON."""
    return json.dumps(head, ensure_ascii=False, indent=2).encode() + b"\n"


async def manifest_bytes(database: Database, owner: str, export_id: str) -> AsyncIterator[bytes]:
    """The whole manifest, piece by piece. Raises NotFound before the first."""
    async with database.transaction(owner) as connection:
        record = await _record(connection, export_id)
    yield manifests.opening(record.manifest)
    first = True
    for split in SPLITS:
        async for batch in _file(partial(database.transaction, owner), record, split):
            yield b"".join(manifests.rows(batch, first=first))
            first = False
    yield manifests.CLOSING


@dataclass(frozen=True, slots=True)
class File:
    """One file of a dataset that can be written again as it was: `size` is its length in bytes."""

    database: Database
    owner: str
    record: Row[Any]
    wording: Wording
    writer: Writer
    split: str
    sha256: str
    size: int

    async def content(self, start: int = 0) -> AsyncIterator[bytes]:
        """The bytes from `start` on.

        Raises:
            DatasetChanged: an exchange was changed since the first byte; what was sent is no file of this dataset.
        """
        digest, skipped = manifests.Digest(), start
        async for piece in _pieces(self):
            for line in piece:
                digest.add(self.split, line)
            sent = b"".join(piece)
            if skipped < len(sent):
                yield sent[skipped:]
            skipped = max(0, skipped - len(sent))
        if digest.of(self.split) != self.sha256:
            raise DatasetChanged("The dataset changed while it was sent. Fetch it again.")


async def file_of(database: Database, owner: str, export_id: str, split: str) -> File:
    """The split's file, byte for byte as the manifest pins it: it is written once to compare its hash before any byte leaves.

    The service keeps no second copy of what people said, and what was erased or withdrawn since cannot leave it any more.

    Raises:
        NotFound: no such dataset. DatasetChanged: it cannot be written again, and why.
    """
    async with database.transaction(owner) as connection:
        record = await _record(connection, export_id)
        wording = await _wording(connection, record)
        session_ids = await repository.session_ids(connection, record.id)
    transaction = partial(database.transaction, owner)
    try:
        writer = await make_writer(transaction, wording, lambda: _all(transaction, record), session_ids)
        file = File(database, owner, record, wording, writer, split, record.manifest["splits"][split]["sha256"], 0)
        digest = manifests.Digest()
        async for piece in _pieces(file):
            for line in piece:
                digest.add(split, line)
    except SourcesMissing as missing:
        raise DatasetChanged(_withdrawn(record.manifest, missing)) from None
    if digest.of(split) != file.sha256:
        raise DatasetChanged(_changed(record.manifest, wording))
    return File(database, owner, record, wording, writer, split, file.sha256, digest.bytes[split])


async def _pieces(file: File) -> AsyncIterator[list[bytes]]:
    transaction = partial(file.database.transaction, file.owner)
    places = partial(_file, transaction, file.record, file.split)
    async for written in lines(transaction, file.wording, file.writer, places):
        yield [line for _, line in written]


async def _file(transaction: Transaction, record: Row[Any], split: str) -> AsyncIterator[list[Place]]:
    async with transaction() as connection:
        total = await repository.lines(connection, record.id, split)
    for first in range(0, total, AT_ONCE):
        async with transaction() as connection:
            batch = await repository.places(connection, record.id, split, first, AT_ONCE)
        yield batch


async def _all(transaction: Transaction, record: Row[Any]) -> AsyncIterator[list[Place]]:
    for split in SPLITS:
        async for batch in _file(transaction, record, split):
            yield batch


async def _record(connection: AsyncConnection, export_id: str) -> Row[Any]:
    record = await repository.find(connection, export_id)
    if record is None:
        raise NotFound(f"No dataset has the id {export_id!r}. GET /exports lists those there are.")
    return record


async def _wording(connection: AsyncConnection, record: Row[Any]) -> Wording:
    persona = await repository.persona_of(connection, record.persona_id)
    prompt = await core_memory.system_prompt(connection, persona)
    seed = int(record.manifest["filters"]["seed"])
    return Wording(persona, prompt, record.type, record.format, seed, record.created_at)


def _withdrawn(manifest: dict[str, Any], missing: SourcesMissing) -> str:
    return (
        f"{manifest['export_id']} is not given out any more: of its {manifest['exchanges']} exchanges {missing.erased} were "
        f"erased and {missing.withdrawn} belong to people who have opted out since. Export again for a dataset without them."
    )


def _changed(manifest: dict[str, Any], wording: Wording) -> str:
    reasons = []
    if wording.prompt.sha256 != manifest["system_prompt_sha256"]:
        reasons.append("core memory has changed")
    if manifest["redaction_version"] != REDACTION_VERSION:
        reasons.append("the redaction rules have changed")
    why = " and ".join(reasons) or "its exchanges, its viewers or what was recalled for it have changed"
    return (
        f"{manifest['export_id']} cannot be written again byte for byte: {why} since. "
        "The files exported then stay valid; export again for a current dataset."
    )
