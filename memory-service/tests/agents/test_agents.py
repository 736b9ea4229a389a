"""Finding agents, choosing among them, and their tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from memory_service.agents.agent import Agent, Turn
from memory_service.agents.installed import GROUP, AgentError, checked, installed_agents
from memory_service.agents.routing import choose
from memory_service.agents.tables import OwnTable, prepare_tables
from memory_service.db import Database
from memory_service.llm.model import ModelAnswerUnusable, Reply
from memory_service.schema import differences_from_models
from memory_service.sessions.history import Exchange
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError


@dataclass(frozen=True)
class Sure:
    """An agent that is always as sure."""

    name: str
    sureness: float
    description: str = "Does things."
    tools: tuple[Any, ...] = ()
    tables: tuple[OwnTable, ...] = ()

    def claims(self, message: str, history: Sequence[Exchange]) -> float:
        return self.sureness

    async def answer(self, turn: Turn) -> str:
        return self.name


class Picker:
    """A model that names somebody."""

    name = "picker"
    context_tokens = 4096

    def __init__(self, answer: str) -> None:
        self.text = answer
        self.schemas: list[Any] = []

    async def reply(self, messages: Any, *, schema: Any = None, max_tokens: int | None = None) -> Reply:
        self.schemas.append(schema)
        assert "Does things." in messages[0].content
        return Reply(self.text, self.name)


@pytest.mark.parametrize(
    ("sureness", "picked", "asked", "expected"),
    [
        ((), None, False, None),
        ((0.0, 0.2), "a", False, None),
        ((0.9, 0.5), "b", False, "a"),
        ((0.7, 0.2), "a", True, "a"),
        ((0.7, 0.5), "b", True, "b"),
        ((0.7, 0.5), "persona", True, None),
        ((1.0, 1.0), "b", True, "b"),
        ((0.4, 0.0), None, False, None),
        ((0.6, 0.5), None, False, "a"),
        ((1.0, 1.0), None, False, "a"),
    ],
)
async def test_rules_decide_and_a_model_where_they_do_not(
    sureness: tuple[float, ...], picked: str | None, asked: bool, expected: str | None
) -> None:
    agents = [Sure(name, sure) for name, sure in zip("ab", sureness, strict=False)]
    model = None if picked is None else Picker(json.dumps({"agent": picked}))
    chosen = await choose(agents, "hola", [], model)  # type: ignore[arg-type]
    assert (chosen.name if chosen else None) == expected
    assert bool(model and model.schemas) is asked


@pytest.mark.parametrize("said", ["", "a", "[]", '{"agent": "zzz"}', '{"agent": ["a"]}', '{"who": "a"}'])
async def test_a_model_that_names_nobody_is_an_error(said: str) -> None:
    with pytest.raises(ModelAnswerUnusable):
        await choose([Sure("a", 0.6)], "hola", [], Picker(said))  # type: ignore[arg-type]


def test_agents_come_from_entry_points() -> None:
    point = EntryPoint("one", f"{__name__}:make_one", GROUP)
    assert [agent.name for agent in installed_agents([point])] == ["one"]
    assert installed_agents([]) == ()


def make_one() -> Agent:
    return Sure("one", 0.0)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_package:Agent", "no_such_package"),
        (f"{__name__}:Missing", "Missing"),
        ("json:loads", "cannot be loaded"),
        ("builtins:dict", "is no agent"),
    ],
)
def test_what_is_no_agent_is_named(value: str, why: str) -> None:
    with pytest.raises(AgentError, match=why):
        installed_agents([EntryPoint("broken", value, GROUP)])


@pytest.mark.parametrize("names", [("a", "a"), ("persona",), ("A",), ("",), ("a b",)])
def test_names_that_cannot_be_told_apart(names: tuple[str, ...]) -> None:
    with pytest.raises(AgentError):
        checked([Sure(name, 0.0) for name in names])


NOTES = OwnTable(
    "notes_of_a_test",
    "id INTEGER NOT NULL, note TEXT NOT NULL, UNIQUE (owner_id, id)",
    changes=("ALTER TABLE casiopy_agents.notes_of_a_test ADD COLUMN IF NOT EXISTS more TEXT",),
)


async def test_a_table_of_an_agents_own_is_behind_the_wall_between_owners(
    migrated_url: str, database: Database
) -> None:
    for _ in range(2):
        await prepare_tables(migrated_url, [NOTES])
    assert await differences_from_models(migrated_url) == []
    for owner in ("ana", "bea"):
        async with database.transaction(owner) as connection:
            await connection.execute(text("INSERT INTO owners (id) VALUES (:o) ON CONFLICT DO NOTHING"), {"o": owner})
            await connection.execute(text(f"INSERT INTO {NOTES.full_name} (id, note) VALUES (1, :o)"), {"o": owner})
    async with database.transaction("ana") as connection:
        rows = (await connection.execute(text(f"SELECT owner_id, note, more FROM {NOTES.full_name}"))).all()
        assert [tuple(row) for row in rows] == [("ana", "ana", None)]
        assert (await connection.execute(text(f"DELETE FROM {NOTES.full_name} WHERE owner_id = 'bea'"))).rowcount == 0
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.transaction("ana") as connection:
            await connection.execute(text(f"INSERT INTO {NOTES.full_name} (owner_id, id, note) VALUES ('bea', 2, 'x')"))
    async with database.unowned() as connection:
        assert await connection.scalar(text(f"SELECT count(*) FROM {NOTES.full_name}")) == 0


async def test_a_table_needs_a_name(migrated_url: str) -> None:
    with pytest.raises(ValueError, match="no table name"):
        await prepare_tables(migrated_url, [OwnTable("notes; DROP TABLE owners", "id INTEGER")])
