"""The two agents."""

from collections.abc import Mapping, Sequence
from typing import Any

from memory_service.agents.agent import Tool, Turn
from memory_service.sessions.history import Exchange

from casiopy_client_registry import phrases, registry
from casiopy_client_registry.phrases import DONE, REFUSED, Request

# A page of a chat window.
_SHOWN = 100
_TEXT = {"type": "string"}


async def _create(turn: Turn, arguments: Mapping[str, Any]) -> str:
    name, email = str(arguments["nombre"]), str(arguments["email"])
    async with turn.transaction() as connection:
        if await registry.add(connection, name, email):
            return f"{DONE} Cliente creado: {name} ({email})"
        known = await registry.by_email(connection, email)
    whose = f": {known.name} ({known.email})" if known else ""
    return f"{REFUSED} Ya hay un cliente con ese email{whose}"


async def _list(turn: Turn, arguments: Mapping[str, Any]) -> str:
    name = arguments.get("nombre")
    async with turn.transaction() as connection:
        rows = await registry.find(connection, name, _SHOWN)
    if not rows:
        return f"No hay ningún cliente llamado {name}." if name else "Todavía no hay clientes."
    lines = [f"- {row.name} | {row.email}" for row in rows]
    more = rows[0].total - len(rows)
    return "\n".join(lines + ([f"… y {more} más"] if more else []))


_CREATE = Tool(
    "crear_cliente",
    "crea un cliente con nombre y email",
    {"type": "object", "properties": {"nombre": _TEXT, "email": _TEXT}, "required": ["nombre", "email"]},
    _create,
)
_LIST = Tool(
    "listar_clientes",
    "lista los clientes, o los que se llamen así",
    {"type": "object", "properties": {"nombre": _TEXT}},
    _list,
)


class Crear:
    """Creates clients, and asks for what is missing."""

    name = "crear"
    description = "Crea clientes nuevos. Necesita el nombre y el email, y pregunta por lo que falte."
    tools = (_CREATE,)
    tables = (registry.CLIENTS,)

    def claims(self, message: str, history: Sequence[Exchange]) -> float:
        """Sure of a creation, and of the answer to its own question."""
        if phrases.wants_creation(message, in_talk_of_clients=_talk_of_clients(history)):
            return 1.0
        if phrases.pending(history, self.name) is None or phrases.wants_list(message):
            return 0.0
        return 0.9

    async def answer(self, turn: Turn) -> str:
        """Create the client, or ask for what is missing."""
        known = phrases.pending(turn.history, self.name)
        if known is not None and phrases.cancels(turn.message):
            return f"{REFUSED} De acuerdo, no creo ningún cliente."
        fresh = known is None or phrases.wants_creation(turn.message, in_talk_of_clients=True)
        request = phrases.read(turn.message) if fresh else _completed(turn.message, known or Request())
        if request.wrong_email is not None:
            return f"«{request.wrong_email}» no es un email válido. ¿Qué email tiene {request.name or 'el cliente'}?"
        if request.name is None:
            return "¿Cómo se llama el cliente?" if request.email else "¿Cómo se llama el cliente y qué email tiene?"
        if request.email is None:
            return f"¿Qué email tiene {request.name}?"
        return await _CREATE.run(turn, {"nombre": request.name, "email": request.email})


def _completed(message: str, known: Request) -> Request:
    return known.then(phrases.read_answer(message, known))


def _talk_of_clients(history: Sequence[Exchange]) -> bool:
    return bool(history) and history[-1].agent in {Crear.name, Consultar.name}


class Consultar:
    """Shows clients."""

    name = "consultar"
    description = "Consulta y lista los clientes que ya existen."
    tools = (_LIST,)
    tables = (registry.CLIENTS,)

    def claims(self, message: str, history: Sequence[Exchange]) -> float:
        """Sure of a question about clients."""
        return 1.0 if phrases.wants_list(message) else 0.0

    async def answer(self, turn: Turn) -> str:
        """List the clients that are asked for."""
        return await _LIST.run(turn, {"nombre": phrases.sought_name(turn.message)})
