"""What the memory learns about one person: out of her messages, corrected by her, and the same through every door."""

from typing import Any

import httpx
from rich.markup import escape

from casiopy.demo.page import title
from casiopy.stack import Stack

_VIEWER = "nerea_demo"
# A fact, a correction, a question: the last says nothing about its author.
_MESSAGES = (
    "Me llamo Nerea, vivo en Madrid y me encantan los gatos y el café",
    "Ya no vivo en Madrid, ahora vivo en Bilbao",
    "¿Tú sabes si llueve mucho en Bilbao?",
)


def show_person(stack: Stack, client: httpx.Client) -> None:
    """Three messages, what each one changed, and what a prompt will know."""
    title(stack, "4 · Know: what people say of themselves becomes memories")
    known = client.get(f"/users/{_VIEWER}/memories/raw").raise_for_status().json()["memories"]
    for message in () if known else _MESSAGES:  # a second run asks what the first one told
        body = {"user_id": _VIEWER, "message": message}
        answer = client.post("/messages", json=body).raise_for_status().json()
        stack.console.print(f"  [bold]{_VIEWER}[/]: {escape(message)}")
        stack.console.print(f"      [dim]{answer['extractor']}:[/] {escape(_changes(answer))}")
    context = client.get(f"/users/{_VIEWER}/context/text").raise_for_status().json()["context"]
    stack.console.print("  Her next prompt knows: " + escape("; ".join(line[2:] for line in context.splitlines()[1:])))
    versions = _versions(client, "location")
    if versions:
        stack.console.print(f"  Nothing is overwritten: location was {escape(' → '.join(versions))}")
    told, on_stream = (_recalled(client, listener) for listener in ("viewer", "public"))
    stack.console.print(
        f"  Asked about her in private, the memory tells {escape('; '.join(told) or 'nothing')}; on stream "
        f"{escape('; '.join(on_stream) or 'nothing, for she told it in private')}"
    )


def _recalled(client: httpx.Client, listener: str) -> list[str]:
    """What comes back for a question about her when `listener` hears the answer."""
    body = {"user_id": _VIEWER, "query": "¿Qué sabes de Nerea?", "listener": listener, "preset": "facts", "limit": 3}
    answer = client.post("/api/v1/memory/context", json=body).raise_for_status().json()
    return [memory["content"] for memory in answer["memories"]]


def _changes(answer: dict[str, Any]) -> str:
    if answer["problem"]:
        return str(answer["problem"])
    changes = [
        f"{change['event'].lower()} {change['field']} {_plain(change['value'])}"
        for change in answer["extracted_memories"]
    ]
    return ", ".join(changes) or "nothing to remember"


def _plain(value: object) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)


def _versions(client: httpx.Client, key: str) -> list[str]:
    """What the field has been, oldest first."""
    parameters = {"user_id": _VIEWER, "key": key, "superseded": "true"}
    found = client.get("/api/v1/memory", params=parameters).raise_for_status().json()
    return [str(memory["value"]) for memory in reversed(found)]
