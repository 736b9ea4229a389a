"""A store under a key: everything works as before, and no text, no word and no stem of it stands in any table."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from memory_service.app import create_app
from memory_service.db import Database
from memory_service.encryption.cipher import Cipher
from memory_service.encryption.rewriting import reencrypt
from memory_service.encryption.store import WrongKey, open_database, unlock
from memory_service.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
# Words nobody else writes, each with the stem it is indexed under.
SECRETS = ["zarzaparrilla", "zarzaparrill", "marsopas", "marsop", "quokkas", "quokka"]


def under(settings: Settings, key: str | None) -> Settings:
    return Settings(**(settings.model_dump() | {"encryption_key": key}), _env_file=None)


@pytest.fixture
async def url(migrated_url: str, superuser: AsyncEngine) -> AsyncIterator[str]:
    """The module's database, its state as before any key."""
    yield migrated_url
    async with superuser.begin() as connection:
        await connection.execute(text("DELETE FROM encryption_state"))
        await connection.execute(text("TRUNCATE users, idempotent_requests CASCADE"))


class Door:
    """The service under one ENCRYPTION_KEY."""

    def __init__(self, settings: Settings, url: str, key: str | None) -> None:
        self._app = create_app(under(settings, key), url)

    async def __aenter__(self) -> httpx.AsyncClient:
        self._life = self._app.router.lifespan_context(self._app)
        await self._life.__aenter__()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://127.0.0.1:8820")
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        await self._life.__aexit__(None, None, None)


async def answer(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json() if response.content else None


async def tell_everything(client: httpx.AsyncClient) -> dict[str, Any]:
    """Through every door that takes texts."""
    session = (await answer(await client.post("/sessions", json={"user_id": "u"})))["id"]
    body = {
        "session_id": session,
        "input_text": "Me encanta la zarzaparrilla",
        "output_text": "*suspiro* Marsopas, mortal, marsopas…",
        "metadata": {"memory_block": "- quokkas"},
    }
    headers = {"Idempotency-Key": "once"}
    exchange = await answer(await client.post("/interactions", json=body, headers=headers))
    memory = {"user_id": "u", "content": "Adores quokkas", "type": "fact", "key": "animal", "value": {"is": "quokkas"}}
    stored = await answer(await client.post("/memory", json=memory | {"metadata": {"note": "zarzaparrilla"}}))
    rating = {"rating": 5, "comment": "marsopas!", "corrected_output": "quokkas"}
    await answer(await client.post(f"/interactions/{exchange['id']}/feedback", json=rating))
    await answer(await client.put(f"/sessions/{session}/summary", json={"summary": "Habla de marsopas"}))
    return {"session": session, "exchange": exchange, "memory": stored, "body": body, "headers": headers}


async def everything_stored(superuser: AsyncEngine) -> str:
    """Every row of every table as text, bytes read as UTF-8."""
    found = []
    async with superuser.connect() as connection:
        tables = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        for table in tables.all():
            rows = await connection.scalars(text(f"SELECT row_to_json(kept)::text FROM {table} AS kept"))
            found += rows.all()
        bodies = await connection.scalars(text("SELECT encode(body, 'escape') FROM idempotent_requests"))
        found += bodies.all()
    return "\n".join(found).casefold()


async def test_nothing_readable_is_stored_and_everything_is_read(
    settings: Settings, url: str, superuser: AsyncEngine
) -> None:
    async with Door(settings, url, NEW) as client:
        told = await tell_everything(client)
        stored = await everything_stored(superuser)
        assert [secret for secret in SECRETS if secret in stored] == []
        shown = await answer(await client.get(f"/interactions/{told['exchange']['id']}"))
        assert (shown["input_text"], shown["metadata"]) == (told["body"]["input_text"], told["body"]["metadata"])
        assert shown["quality"] == told["exchange"]["quality"]
        (memory,) = await answer(await client.get("/memory", params={"user_id": "u"}))
        assert (memory["content"], memory["value"]) == ("Adores quokkas", {"is": "quokkas"})
        assert memory["metadata"] == {"note": "zarzaparrilla"}
        replay = await client.post("/interactions", json=told["body"], headers=told["headers"])
        assert (replay.headers["Idempotent-Replay"], replay.json()["id"]) == ("true", told["exchange"]["id"])
        summary = await answer(await client.get(f"/sessions/{told['session']}/summary"))
        assert summary["summary"] == "Habla de marsopas"
        comments = await answer(await client.get(f"/interactions/{told['exchange']['id']}/feedback"))
        assert comments["items"][0]["comment"] == "marsopas!"
        ready = await answer(await client.get("/interactions/training-ready", params={"min_quality": 0}))
        assert [item["id"] for item in ready["items"]] == [told["exchange"]["id"]]
        rated = await client.put(f"/interactions/{told['exchange']['id']}/quality", json={"quality_score": 0.1})
        assert rated.json()["quality_source"] == "human"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("zarzaparrillas", "zarzaparrilla"),  # a stem in Spanish
        ("¿Y las MARSOPAS?", "zarzaparrilla"),
        ("quokka", "Adores"),  # a stem in English
        ("ADORÉS", "Adores"),  # an accent too many
    ],
)
async def test_words_are_found_by_their_tokens(settings: Settings, url: str, query: str, found: str) -> None:
    async with Door(settings, url, NEW) as client:
        await tell_everything(client)
        body = {"user_id": "u", "query": query, "limit": 1, "arms": ["lexical"]}
        (hit,) = (await answer(await client.post("/recall", json=body)))["hits"]
        assert found in hit["content"]
        assert hit["explain"]["lexical"]["rank"] == 1
        assert any(word.casefold() in hit["explain"]["reason"].casefold() for word in query.strip("¿?").split())


async def test_the_order_of_words_is_not_kept_and_their_number_is(
    settings: Settings, url: str, superuser: AsyncEngine
) -> None:
    async with Door(settings, url, NEW) as client:
        await tell_everything(client)
    async with superuser.connect() as connection:
        blind = str(await connection.scalar(text("SELECT blind::text FROM interactions")))
    positions = sorted(part.split(":")[1] for part in blind.split())
    assert set(positions) <= {"1", "1,2", "1,2,3", "1,2,3,4", "1,2,3,4,5", "1,2,3,4,5,6"}
    assert "1" in positions


async def test_the_wrong_key_and_a_missing_one_are_refused(settings: Settings, url: str) -> None:
    async with Door(settings, url, NEW) as client:
        await tell_everything(client)
    for key, said in ((None, "Set ENCRYPTION_KEY"), (OLD, "No key in ENCRYPTION_KEY fits")):
        database = open_database(under(settings, key), url)
        with pytest.raises(WrongKey, match=said):
            await unlock(database)
        await database.close()


async def opened(settings: Settings, url: str, key: str) -> Database:
    database = open_database(under(settings, key), url)
    await unlock(database)
    return database


async def rewritten(settings: Settings, url: str, key: str, *, check_only: bool = False, batches: int = 10**6) -> int:
    """Rows changed by at most so many batches."""
    database = await opened(settings, url, key)
    assert isinstance(database.cipher, Cipher)
    changed = 0
    progress = reencrypt(database, database.cipher, check_only=check_only)
    async for batch in progress:
        changed += batch.changed
        batches -= 1
        if batches == 0:
            break
    await progress.aclose()  # type: ignore[attr-defined]
    await database.close()
    return changed


async def test_a_plain_store_is_encrypted_while_it_is_used(
    settings: Settings, url: str, superuser: AsyncEngine
) -> None:
    async with Door(settings, url, None) as client:
        told = await tell_everything(client)
    assert SECRETS[0] in await everything_stored(superuser)
    async with Door(settings, url, NEW) as client:
        # Plain rows are found and read as well, before and after.
        for _ in range(2):
            body = {"user_id": "u", "query": "zarzaparrilla", "limit": 1, "arms": ["lexical"]}
            (hit,) = (await answer(await client.post("/recall", json=body)))["hits"]
            assert hit["input_text"] == told["body"]["input_text"]
            await rewritten(settings, url, NEW)
        stored = await everything_stored(superuser)
        assert [secret for secret in SECRETS if secret in stored] == []
    assert await rewritten(settings, url, NEW, check_only=True) == 0


async def test_rotation_can_stop_half_way_and_ends_without_the_old_key(settings: Settings, url: str) -> None:
    async with Door(settings, url, OLD) as client:
        told = await tell_everything(client)
    both = f"{NEW},{OLD}"
    waiting = await rewritten(settings, url, both, check_only=True)
    assert waiting >= 5
    first = await rewritten(settings, url, both, batches=1)
    assert 1 <= first < waiting
    assert await rewritten(settings, url, both) == waiting - first
    async with Door(settings, url, NEW) as client:
        shown = await answer(await client.get(f"/interactions/{told['exchange']['id']}"))
        assert shown["input_text"] == told["body"]["input_text"]


async def test_writers_are_not_lost_while_texts_are_rewritten(settings: Settings, url: str) -> None:
    async with Door(settings, url, None) as client:
        session = (await answer(await client.post("/sessions", json={"user_id": "u"})))["id"]
        exchanges = [{"session_id": session, "input_text": f"dato {n}", "output_text": "vale"} for n in range(250)]
        await answer(await client.post("/interactions/bulk", json={"interactions": exchanges}))
    async with Door(settings, url, NEW) as client:
        session = (await answer(await client.post("/sessions", json={"user_id": "u"})))["id"]

        async def write() -> None:
            for number in range(20):
                body = {"session_id": session, "input_text": f"nuevo {number}", "output_text": "vale"}
                await answer(await client.post("/interactions", json=body))

        await asyncio.gather(write(), rewritten(settings, url, NEW))
        page = await answer(await client.get("/interactions", params={"user_id": "u", "limit": 500}))
        assert page["total"] == 270
        assert all(item["input_text"].split()[0] in {"dato", "nuevo"} for item in page["items"])
    assert await rewritten(settings, url, NEW, check_only=True) == 0


async def test_a_row_under_a_lost_key_is_an_error_of_its_own(
    settings: Settings, url: str, superuser: AsyncEngine
) -> None:
    async with Door(settings, url, NEW) as client:
        told = await tell_everything(client)
        lost = "enc1~" + Cipher([OLD]).encrypt("gone")
        async with superuser.begin() as connection:
            await connection.execute(text("UPDATE interactions SET input_text = :lost"), {"lost": lost})
        response = await client.get(f"/interactions/{told['exchange']['id']}")
        assert (response.status_code, response.json()["error"]) == (500, "unreadable_text")
        assert "ENCRYPTION_KEY" in response.json()["detail"]
