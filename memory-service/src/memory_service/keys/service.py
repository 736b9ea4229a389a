"""API keys: made here, shown once, kept as digests, revoked for good."""

import hashlib
import json
import secrets
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.errors import BadRequest, Conflict, NotFound
from memory_service.fields import Metadata, storable
from memory_service.keys import DEFAULT_RATE_LIMIT, MAX_RATE_LIMIT, repository
from memory_service.keys.schemas import Key

MAX_OWNER = 255

# Says what it is to people and to programs that look for leaked keys.
_PREFIX = "aimsk_live_"
# 256 bits, 64 characters: a digest of so much chance needs no salt and no slow hash.
_SECRET_BYTES = 32

_METADATA: TypeAdapter[dict[str, Any]] = TypeAdapter(Metadata)


async def generate(
    connection: AsyncConnection,
    owner: str,
    *,
    rate_limit: int = DEFAULT_RATE_LIMIT,
    metadata: dict[str, Any] | None = None,
) -> tuple[str, Key]:
    """Make a key for `owner`, who need not exist yet; returns the key itself, which is stored nowhere, and its record.

    Args:
        rate_limit: requests a minute, 1 to `MAX_RATE_LIMIT`.
        metadata: the operator's own notes on the key, bounded as everywhere.

    Raises:
        BadRequest: one of them is out of bounds.
    """
    _check_owner(owner)
    if not 1 <= rate_limit <= MAX_RATE_LIMIT:
        raise BadRequest(f"The rate limit must be 1 to {MAX_RATE_LIMIT} requests a minute.")
    try:
        notes = _METADATA.validate_python(metadata or {})
    except ValidationError as error:
        why = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise BadRequest(f"The metadata cannot be kept: {why}.") from None
    key = _PREFIX + secrets.token_hex(_SECRET_BYTES)
    row = await repository.create(connection, owner, hashlib.sha256(key.encode()).digest(), rate_limit, notes)
    return key, Key.model_validate(row)


async def of_owner(connection: AsyncConnection, owner: str) -> list[Key]:
    """The keys of `owner`, revoked ones too, oldest first.

    Raises:
        BadRequest: no owner can have that name.
    """
    _check_owner(owner)
    return [Key.model_validate(row) for row in await repository.of_owner(connection, owner)]


async def revoke(connection: AsyncConnection, key_id: str) -> Key:
    """Revoke a key for good; its record stays.

    Raises:
        NotFound: no key has this id. Conflict: it is revoked already.
    """
    try:
        wanted = UUID(key_id)
    except ValueError:
        # What was given is not repeated: it may be the key itself.
        raise NotFound(
            "A key id is a UUID, as `casiopy keys list OWNER` shows it; the key itself is not its id."
        ) from None
    row = await repository.revoke(connection, wanted)
    if row is not None:
        return Key.model_validate(row)
    known = await repository.find(connection, wanted)
    if known is None:
        raise NotFound(f"No key has the id {wanted}. `casiopy keys list OWNER` shows an owner's keys.")
    raise Conflict(f"The key {wanted} was revoked at {known.revoked_at:%Y-%m-%d %H:%M} UTC already.")


def parse_metadata(text: str) -> dict[str, Any]:
    """The JSON object in `text`.

    Raises:
        BadRequest: it is something else; the message says what.
    """
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            f"""The metadata is not JSON ({error}). Write an object, e.g. '{{"plan": "pro"}}'."""
        ) from None
    if not isinstance(parsed, dict):
        raise BadRequest("""The metadata must be a JSON object, e.g. '{"plan": "pro"}'.""")
    return parsed


def _check_owner(owner: str) -> None:
    """Refuse what cannot name an owner.

    Raises:
        BadRequest: no owner can have that name.
    """
    try:
        storable(owner)
    except ValueError as error:
        raise BadRequest(f"The owner cannot be stored: {error}.") from None
    # A space at an end would make a second owner nobody can tell from the first.
    if not 1 <= len(owner) <= MAX_OWNER or owner != owner.strip() or not owner.isprintable():
        raise BadRequest(f"An owner has 1 to {MAX_OWNER} visible characters, and no space at either end.")
