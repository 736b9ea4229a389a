"""The service's front page for programs: what it is, and how to talk with it."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

router = APIRouter(tags=["chat"])

# As the clients of the agent interface know it.
_MESSAGE = "API Multi-Agente con Memoria Persistente"
_ENDPOINTS = {
    "POST /chat": "Enviar mensaje",
    "GET /history/{session_id}": "Ver historial",
    "DELETE /history/{session_id}": "Borrar historial",
}


class Welcome(BaseModel):
    """What is here."""

    message: str
    endpoints: dict[str, str] = Field(description="Where to begin; /docs has every address.")


@router.get("/", include_in_schema=False)
async def welcome() -> Welcome:
    """What is here. Needs no key, and shows nothing stored."""
    return Welcome(message=_MESSAGE, endpoints=_ENDPOINTS)
