"""Brings every stored text under the newest key: what was plain before, what an older key encrypted.

Row by row under a lock, in short transactions: readers see the old or the new form of a row, writers wait for a batch at most,
and a run that was stopped goes on where it left off, because rows that are done are passed over.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.db import Database
from memory_service.encryption.blind_index import blind_tokens, both_sides
from memory_service.encryption.cipher import Cipher
from memory_service.encryption.types import ENCRYPTED, SEALED_FIELD, seal, unseal
from memory_service.models import EncryptionState, Owner

# Rows per transaction: some 5 ms of work, so a writer hardly waits.
BATCH = 100


@dataclass(frozen=True, slots=True)
class Texts:
    """A table's encrypted columns.

    Attributes:
        key: columns that identify a row within its owner, in order.
        said: columns whose texts, joined (`both_sides`), the blind index is made of.
    """

    table: str
    key: tuple[str, ...]
    texts: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


TABLES = (
    Texts(
        "interactions",
        ("id",),
        texts=("input_text", "output_text"),
        values=("metadata", "quality"),
        said=("input_text", "output_text"),
    ),
    Texts("memories", ("id",), texts=("content",), values=("value", "metadata"), said=("content",)),
    Texts("session_summaries", ("session_id",), texts=("text",)),
    Texts("feedback", ("id",), texts=("comment", "corrected_output")),
    Texts("idempotent_requests", ("key",), bodies=("body",)),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """One batch: rows looked at, and rows that were (or, when only checking, would be) written anew."""

    table: str
    seen: int
    changed: int


async def reencrypt(database: Database, cipher: Cipher, *, check_only: bool = False) -> AsyncIterator[Progress]:
    """Rewrite every owner's texts, batch by batch; with `check_only`, only count what needs it.

    Raises:
        UnreadableText: a row is encrypted under a key that is not configured; rows before it are done.
    """
    if not check_only:
        async with database.unowned() as connection:
            await connection.execute(update(EncryptionState).values(sealed_index_key=cipher.sealed_index_key()))
    async with database.unowned() as connection:
        owners = (await connection.scalars(select(Owner.id).order_by(Owner.id))).all()
    for owner in owners:
        for kind in TABLES:
            after: Sequence[Any] | None = None
            while True:
                async with database.transaction(owner) as connection:
                    rows = await _batch(connection, kind, after)
                    changed = [await _rewrite(connection, owner, kind, row, cipher, check_only) for row in rows]
                if not rows:
                    break
                yield Progress(kind.table, len(rows), sum(changed))
                after = [getattr(rows[-1], column) for column in kind.key]


async def _batch(connection: AsyncConnection, kind: Texts, after: Sequence[Any] | None) -> Sequence[Row[Any]]:
    """The next rows as they are stored, locked against writers until this transaction ends."""
    columns = ", ".join((*kind.key, *kind.texts, *kind.values, *kind.bodies))
    key = ", ".join(kind.key)
    beyond = "" if after is None else f"WHERE ({key}) > ({', '.join(f':{column}' for column in kind.key)})"
    # Names come from the table above, never from a request.
    query = f"SELECT {columns} FROM {kind.table} {beyond} ORDER BY {key} LIMIT {BATCH} FOR UPDATE"  # noqa: S608
    types = dict.fromkeys(kind.texts, Text()) | dict.fromkeys(kind.values, JSONB(none_as_null=True))
    statement = text(query).columns(**types)
    parameters = dict(zip(kind.key, after or (), strict=False))
    return (await connection.execute(statement, parameters)).all()


async def _rewrite(
    connection: AsyncConnection, owner: str, kind: Texts, row: Row[Any], cipher: Cipher, check_only: bool
) -> bool:
    """Write what is not under the newest key anew; whether there was any."""
    changes: dict[str, Any] = {}
    for column in kind.texts:
        changes |= _changed(column, getattr(row, column), cipher)
    for column in kind.values:
        changes |= _changed_value(column, getattr(row, column), cipher)
    for column in kind.bodies:
        body = getattr(row, column).decode()
        changes |= {name: sealed.encode() for name, sealed in _changed(column, body, cipher).items()}
    if not changes or check_only:
        return bool(changes)
    if kind.said:
        said = both_sides(*(unseal(getattr(row, column), cipher) for column in kind.said))
        (tokens,) = await blind_tokens(connection, owner, [said])
        changes |= {"blind": tokens.blind, "blind_end": tokens.blind_end}
    where = " AND ".join(f"{column} = :key_{column}" for column in kind.key)
    assignments = ", ".join(f"{column} = :{column}" for column in changes)
    statement = text(f"UPDATE {kind.table} SET {assignments} WHERE {where}").bindparams(  # noqa: S608  (as above)
        *[bindparam(column, type_=JSONB()) for column in kind.values if column in changes],
        *[bindparam(column, type_=TSVECTOR()) for column in ("blind", "blind_end") if column in changes],
    )
    await connection.execute(statement, changes | {f"key_{column}": getattr(row, column) for column in kind.key})
    return True


def _changed(column: str, stored: str | None, cipher: Cipher) -> dict[str, str]:
    if not stored or (stored.startswith(ENCRYPTED) and cipher.is_newest(stored.removeprefix(ENCRYPTED))):
        return {}
    return {column: seal(unseal(stored, cipher), cipher)}


def _changed_value(column: str, stored: Any, cipher: Cipher) -> dict[str, Any]:
    if stored is None or stored in ({}, []):
        return {}
    sealed = stored.get(SEALED_FIELD) if isinstance(stored, dict) else None
    if sealed is None:
        return {column: {SEALED_FIELD: seal(json.dumps(stored, ensure_ascii=False), cipher)}}
    changed = _changed(column, sealed, cipher)
    return {column: {SEALED_FIELD: changed[column]}} if changed else {}
