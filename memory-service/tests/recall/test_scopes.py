"""What one viewer told in private is told to nobody else, nor on stream: every combination of who hears and what was said."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from memory_service.models import Persona
from sqlalchemy import insert

from .conftest import Caller, Service

QUERY = "¿Sabes cuál es el secreto?"
AUDIENCES = ("viewer", "streamer", "public")

# Luna asks Casiopy. Of what was said to Casiopy, this may come back: (listener, scope) -> (whose, meant for whom).
MAY_HEAR = {
    ("viewer", "user"): {("luna", "viewer"), ("luna", "public")},
    ("viewer", "everybody"): {("luna", "viewer"), ("luna", "public"), ("sol", "public")},
    ("streamer", "user"): {("luna", "viewer"), ("luna", "streamer"), ("luna", "public")},
    ("streamer", "everybody"): {("luna", "viewer"), ("luna", "streamer"), ("luna", "public"), ("sol", "public")},
    ("public", "user"): {("luna", "public")},
    ("public", "everybody"): {("luna", "public"), ("sol", "public")},
}


@dataclass(frozen=True)
class Row:
    """One thing that was said or noted. Told in a session of Casiopy's or Eris'; a memory without a persona is for both."""

    whose: str
    persona: str | None
    audience: str
    session: str | None

    @property
    def text(self) -> str:
        """Nobody else's words, and a question, so that the next turn would be told with it."""
        kind = self.session or "memory"
        return f"¿Sabes que el secreto es {self.whose}-{self.persona}-{self.audience}-{kind}?"


EXCHANGES = [
    Row(whose, persona, audience, f"{persona}-{number}")
    for whose, persona, number, audience in itertools.product(("luna", "sol"), ("casiopy", "eris"), (1, 2), AUDIENCES)
]
MEMORIES = [
    Row(whose, persona, audience, None)
    for whose, persona, audience in itertools.product(("luna", "sol"), ("casiopy", "eris", None), AUDIENCES)
]


def expected(listener: str, scope: str, session: tuple[str, str] | None) -> set[str]:
    """The texts that may come back."""
    return {
        row.text
        for row in [*EXCHANGES, *MEMORIES]
        if (row.whose, row.audience) in MAY_HEAR[listener, scope]
        and row.persona in ("casiopy", None)
        and (session is None or (row.whose, row.session) == session)
    }


async def told_everything(caller: Caller, mark: str = "") -> Caller:
    """Every row, stored through the API; `mark` tells the rows of another owner apart."""
    await caller.http.post("/sessions", json={"user_id": "luna"})  # her owner is known from here on
    async with caller.database.transaction(caller.owner) as connection:
        persona = {"id": uuid4(), "owner_id": caller.owner, "slug": "eris", "name": "Eris"}
        await connection.execute(insert(Persona).values(persona))
    for row in EXCHANGES:
        assert row.session is not None
        asked = {"session": row.session, "persona": row.persona, "audience": row.audience}
        await caller.tell(row.whose, row.text + mark, **asked)
    for row in MEMORIES:
        await caller.remember(row.whose, row.text + mark, persona=row.persona, audience=row.audience)
    return caller


@pytest.fixture
async def caller(service: Service, owner: str) -> AsyncIterator[Caller]:
    """Luna and Sol have told Casiopy and Eris everything, and those of another owner have, too."""
    async with service(f"{owner}-other") as other, service(owner) as caller:
        await told_everything(other, " Otra casa.")
        await told_everything(caller)
        await other.embedded()
        await caller.embedded()
        yield caller


async def answers(caller: Caller, **asked: Any) -> AsyncIterator[tuple[str, set[str], str]]:
    """Per door and choice of arms: its name, the texts of its hits, and all it says."""
    question = {"user_id": "luna", "query": QUERY, "limit": 100, "persona": "casiopy"} | asked
    response = (await caller.http.post("/api/v1/memory/context", json=question)).raise_for_status()
    yield (
        "context",
        {one["content"].removeprefix("luna: ").removeprefix("sol: ") for one in response.json()["memories"]},
        (response.text),
    )
    for arms in (["dense"], ["lexical"], ["dense", "lexical"]):
        response = (await caller.http.post("/recall", json=question | {"arms": arms})).raise_for_status()
        hits = response.json()["hits"]
        yield f"recall {arms}", {one["input_text"] or one["content"] for one in hits}, response.text


async def test_every_combination(caller: Caller) -> None:
    sessions: list[tuple[str, str] | None] = [None, *caller.sessions]
    every = {row.text for row in [*EXCHANGES, *MEMORIES]}
    for (listener, scope), session in itertools.product(MAY_HEAR, sessions):
        asked = {"listener": listener, "scope": scope, "session_id": caller.sessions[session] if session else None}
        may = expected(listener, scope, session)
        async for door, texts, said in answers(caller, **asked):
            case = (listener, scope, session, door)
            assert texts == may, case
            assert not [text for text in every - may if text in said], case  # not beside a hit either
            assert "Otra casa" not in said, case


async def test_the_table_leaves_nothing_private_to_others() -> None:
    """What the table itself must hold, whatever is changed in it."""
    for (listener, scope), may in MAY_HEAR.items():
        others = {audience for whose, audience in may if whose != "luna"}
        assert others == ({"public"} if scope == "everybody" else set())
        assert (("luna", "streamer") in may) is (listener == "streamer")
        assert (("luna", "viewer") in may) is (listener != "public")
    assert expected("public", "everybody", None) < expected("viewer", "everybody", None)


async def test_before_there_are_vectors_the_same_holds(service: Service, owner: str) -> None:
    async with service(owner, worker=False) as caller:
        await told_everything(caller)
        for listener, scope in MAY_HEAR:
            for query in (QUERY, "Otra cosa"):  # the second shares no word with anything
                async for door, texts, _ in answers(caller, listener=listener, scope=scope, query=query):
                    assert texts <= expected(listener, scope, None), (listener, scope, query, door)


@pytest.mark.parametrize("field", ["listener", "scope"])
async def test_another_listener_or_scope_is_refused(service: Service, owner: str, field: str) -> None:
    async with service(owner, worker=False, ready=False) as caller:
        for door in ("/api/v1/memory/context", "/recall"):
            response = await caller.http.post(door, json={"user_id": "luna", "query": "hola", field: "owner"})
            assert response.status_code == 400
