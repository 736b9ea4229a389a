"""Chat over a store whose texts are encrypted at rest."""

import httpx
from cryptography.fernet import Fernet
from memory_service.app import create_app
from memory_service.llm.stand_in import StandIn
from memory_service.settings import Settings
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine


async def test_what_was_said_is_read_by_the_service_alone(
    chat_settings: Settings, migrated_url: str, model: StandIn, superuser: AsyncEngine
) -> None:
    key = SecretStr(Fernet.generate_key().decode())
    app = create_app(chat_settings.model_copy(update={"encryption_key": key}), migrated_url)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8820") as http,
    ):
        for number in range(2):
            said = {"message": f"Guardo un secreto: la contraseña es Xoloitl {number}", "session_id": "s1"}
            assert (await http.post("/chat", json=said)).status_code == 200
        await http.put("/sessions/s1/summary", json={"summary": "Habla de Xoloitl."})
        await http.put("/sessions/s1/memory", json={"facts": ["Tiene a Xoloitl"]})
        answer = (await http.post("/chat", json={"message": "¿Y Xoloitl?", "user_id": "session:s1"})).json()
        assert any("Xoloitl" in memory["content"] for memory in answer["memories"])
        history = (await http.get("/history/s1")).json()
        assert (history["total_mensajes"], "Xoloitl 1" in history["historial"][2]["content"]) == (4, True)
        shown = (await http.get("/sessions/s1")).json()
        assert (shown["summary"], shown["interactions"]) == ("Habla de Xoloitl.", 2)
        assert "Habla de Xoloitl." not in model.requests[-1].prompt  # another session's summary
    async with superuser.connect() as connection:
        for table in ("interactions", "session_summaries", "memories"):
            rows = await connection.scalars(text(f"SELECT to_jsonb(kept)::text FROM {table} AS kept"))
            stored = rows.all()
            assert stored
            assert "Xoloitl" not in "".join(stored)
