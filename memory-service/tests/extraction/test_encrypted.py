"""What was learned lies encrypted where ENCRYPTION_KEY is set, its evidence too, and is known again next time."""

from cryptography.fernet import Fernet
from memory_service.settings import Settings
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from .conftest import Serve, learned, memories

_ROWS = text("SELECT row_to_json(memories)::text FROM memories WHERE owner_id = :owner")


async def test_learning_in_an_encrypted_store(serve: Serve, settings: Settings, superuser: AsyncEngine) -> None:
    key = SecretStr(Fernet.generate_key().decode())
    async with serve(settings, encryption_key=key) as client:
        await learned(client, "My name is John and I love Python")
        assert (await learned(client, "My name is john and I love chess"))["extracted_memories"] == [
            {"field": "likes", "value": ["chess"], "event": "ADD"}
        ]
        assert await memories(client) == {"name": "John", "likes": ["Python", "chess"]}
    async with superuser.connect() as connection:
        rows = (await connection.scalars(_ROWS, {"owner": settings.default_owner})).all()
    assert len(rows) == 3
    assert not any(word in row for row in rows for word in ("John", "Python", "chess"))
