"""Keys are made once, kept as digests, and revoked for good."""

import hashlib
import re
from typing import Any

import pytest
from memory_service.errors import BadRequest, Conflict, NotFound
from memory_service.keys import MAX_RATE_LIMIT, service
from memory_service.keys.repository import any_usable, operators_transaction
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine


async def test_a_key_is_kept_as_its_digest_alone(migrated_url: str, superuser: AsyncEngine, owner: str) -> None:
    async with operators_transaction(migrated_url) as connection:
        key, record = await service.generate(connection, owner, rate_limit=120, metadata={"plan": "pro"})
    assert re.fullmatch(r"aimsk_live_[0-9a-f]{64}", key)
    async with superuser.connect() as connection:
        query = text("SELECT to_jsonb(kept)::text FROM api_keys AS kept WHERE id = :id")
        stored = str(await connection.scalar(query, {"id": record.id}))
    assert hashlib.sha256(key.encode()).hexdigest() in stored
    assert key not in stored
    assert key[-64:] not in stored
    assert key not in record.model_dump_json()
    assert (record.owner_id, record.rate_limit, record.metadata) == (owner, 120, {"plan": "pro"})


async def test_no_two_keys_are_alike(migrated_url: str, owner: str) -> None:
    async with operators_transaction(migrated_url) as connection:
        made = [await service.generate(connection, owner) for _ in range(20)]
        listed = await service.of_owner(connection, owner)
    assert len({key for key, _ in made}) == 20
    assert [record.id for record in listed] == [record.id for _, record in made]


async def test_an_owner_sees_its_own_keys(migrated_url: str, owner: str) -> None:
    async with operators_transaction(migrated_url) as connection:
        await service.generate(connection, f"{owner}-other")
        assert await service.of_owner(connection, owner) == []


@pytest.mark.parametrize("name", ["", " ", "a ", "\ta", "a\nb", "x" * 256, "a\x00b", "a\udcffb", "a\u200bb"])
async def test_names_no_owner_can_have(migrated_url: str, name: str) -> None:
    async with operators_transaction(migrated_url) as connection:
        with pytest.raises(BadRequest, match="owner"):
            await service.generate(connection, name)


@pytest.mark.parametrize("name", ["x", "x" * 255, "señora de la casa", "org/app:7"])
async def test_names_an_owner_can_have(migrated_url: str, name: str) -> None:
    async with operators_transaction(migrated_url) as connection:
        _, record = await service.generate(connection, name)
    assert record.owner_id == name


@pytest.mark.parametrize("rate_limit", [0, -1, MAX_RATE_LIMIT + 1])
async def test_rate_limits_have_bounds(migrated_url: str, owner: str, rate_limit: int) -> None:
    async with operators_transaction(migrated_url) as connection:
        with pytest.raises(BadRequest, match="rate limit"):
            await service.generate(connection, owner, rate_limit=rate_limit)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("{bad", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "must be a JSON object"),
        ("null", "must be a JSON object"),
    ],
)
def test_metadata_that_is_no_object(written: str, complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        service.parse_metadata(written)


@pytest.mark.parametrize(
    "metadata", [{"a": "x" * 16_384}, {"a": float("nan")}, {"a": "\x00"}, {"a": [[[[[[[[[]]]]]]]]] * 2_000}]
)
async def test_metadata_has_bounds(migrated_url: str, owner: str, metadata: dict[str, Any]) -> None:
    async with operators_transaction(migrated_url) as connection:
        with pytest.raises(BadRequest, match="metadata"):
            await service.generate(connection, owner, metadata=metadata)


async def test_revoking_is_for_good_and_leaves_the_record(migrated_url: str, owner: str) -> None:
    async with operators_transaction(migrated_url) as connection:
        _, record = await service.generate(connection, owner)
        revoked = await service.revoke(connection, str(record.id))
        assert revoked.revoked_at is not None
        with pytest.raises(Conflict, match="already"):
            await service.revoke(connection, str(record.id))
        assert [key.revoked_at for key in await service.of_owner(connection, owner)] == [revoked.revoked_at]


@pytest.mark.parametrize("key_id", ["01a1fd44-7d98-77d5-8f4d-b5d2f2f6ccd3", "seven", "aimsk_live_secret"])
async def test_ids_of_no_key(migrated_url: str, key_id: str) -> None:
    async with operators_transaction(migrated_url) as connection:
        with pytest.raises(NotFound, match="casiopy keys list") as caught:
            await service.revoke(connection, key_id)
    assert "secret" not in caught.value.detail, "what may be a key is not repeated"


async def test_whether_anybody_could_call(superuser: AsyncEngine, migrated_url: str, owner: str) -> None:
    async with superuser.begin() as connection:
        await connection.execute(text("DELETE FROM api_keys"))
    async with operators_transaction(migrated_url) as connection:
        assert not await any_usable(connection)
        _, record = await service.generate(connection, owner)
        assert await any_usable(connection)
        await service.revoke(connection, str(record.id))
        assert not await any_usable(connection)


async def test_a_role_that_may_not_see_every_owner_is_told_so(migrated_url: str, superuser: AsyncEngine) -> None:
    """Row-level security would show it no keys at all, and `casiopy serve` would believe that."""
    async with operators_transaction(migrated_url) as connection:
        await connection.execute(text("SET LOCAL ROLE casiopy_app"))
        with pytest.raises(DBAPIError, match="row-level security"):
            await any_usable(connection)
