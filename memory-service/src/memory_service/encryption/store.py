"""Opens the database with the configured key, or says why that cannot be."""

import logging

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from memory_service.db import Database
from memory_service.encryption.cipher import Cipher, parse_keys
from memory_service.encryption.types import UnreadableText
from memory_service.models import EncryptionState
from memory_service.settings import Settings

log = logging.getLogger(__name__)

_HAS_STATE = text("SELECT to_regclass('public.encryption_state') IS NOT NULL")


class WrongKey(ValueError):
    """The configured key, or its absence, does not fit the database; the message says what to do."""


def open_database(settings: Settings, url: str, *, pool_size: int | None = None) -> Database:
    """The database at `url` under ENCRYPTION_KEY; to be unlocked before its texts are used."""
    key = settings.encryption_key
    cipher = Cipher(parse_keys(key.get_secret_value())) if key is not None else None
    return Database(url, pool_size=pool_size or settings.database_pool, echo=settings.sql_echo, cipher=cipher)


async def unlock(database: Database) -> None:
    """Check that the key fits what is stored; the first key ever also makes the blind index's key.

    Raises:
        WrongKey: texts are encrypted under another key, or a key is missing.
    """
    async with database.unowned() as connection:
        if not await connection.scalar(_HAS_STATE):
            return  # not migrated yet: nothing is stored
        sealed = await connection.scalar(select(EncryptionState.sealed_index_key))
        cipher = database.cipher
        if cipher is None:
            if sealed is not None:
                raise WrongKey("The texts in this database are encrypted. Set ENCRYPTION_KEY to their key.")
            return
        if sealed is None:
            first = insert(EncryptionState).values(id=1, sealed_index_key=cipher.sealed_index_key())
            await connection.execute(first.on_conflict_do_nothing())
            # Another process may have been first.
            sealed = await connection.scalar(select(EncryptionState.sealed_index_key))
            log.info("Texts are encrypted from now on; `casiopy reencrypt` encrypts what was stored before")
    try:
        cipher.open_index_key(str(sealed))
    except UnreadableText:
        raise WrongKey(
            "No key in ENCRYPTION_KEY fits this database. Put the key it was encrypted with there (after a new one, "
            "separated by a comma, while you rotate)."
        ) from None
