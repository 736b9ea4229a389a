"""UUIDv7 ids: sorted by time of creation, made here because PostgreSQL has `uuidv7()` only since 18."""

from uuid import UUID

from uuid_utils.compat import uuid7


def make_id() -> UUID:
    """A fresh UUIDv7."""
    made: UUID = uuid7()
    return made
