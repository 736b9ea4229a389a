"""A store that is edited at random, and what should be in it: the reference that recall's statistics are held against."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Words of four letters with one form each: both stemmers leave them as they are, they are no stop words and too short for a
# root. (A test makes sure.) With the blank after it a word is five letters, so that the end of a text, 200 letters, is 40.
WORDS = ["bluk", "crom", "dwib", "flup", "grok", "klum", "plib", "zorp"]
END = 40
VIEWERS, PERSONAS, SESSIONS = ["luna", "sol"], ["casiopy", "eris"], ["a", "b"]
START = datetime(2026, 1, 1, tzinfo=UTC)

Kind = Literal["memory", "interaction"]
Op = tuple[str, Any]

_WORDS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8) | st.lists(
    st.sampled_from(WORDS), min_size=45, max_size=50
)


@dataclass
class Said:
    """One document as it should stand."""

    source: UUID
    kind: Kind
    user: str
    persona: str | None
    session: str | None
    at: datetime
    audience: str
    words: Sequence[str]
    is_gone: bool = False
    is_ended: bool = False
    is_expired: bool = False


def histories(kinds: Sequence[Kind], sessions: Sequence[str | None]) -> st.SearchStrategy[list[Op]]:
    """First something is said, then as much is edited as is said."""
    said, edited = _sayings(kinds, sessions), _edits()
    later = st.lists(st.booleans().flatmap(lambda edit: edited if edit else said), max_size=25)
    return st.builds(list.__add__, st.lists(said, min_size=4, max_size=12), later)


def _sayings(kinds: Sequence[Kind], sessions: Sequence[str | None]) -> st.SearchStrategy[Op]:
    """Something new that is said or noted."""
    return st.tuples(
        st.just("say"),
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(kinds),
                "user": st.sampled_from([*VIEWERS, "luna"]),
                "persona": st.sampled_from([*PERSONAS, "casiopy"]),
                "session": st.sampled_from(sessions),
                "at": st.integers(0, 5).map(lambda hours: START + timedelta(hours=hours)),
                "audience": st.sampled_from(["viewer", "streamer", "public"]),
                "words": _WORDS,
            }
        ),
    )


def _edits() -> st.SearchStrategy[Op]:
    """Something done to one of the documents there are (by number, modulo), or to a viewer."""
    number = st.integers(0, 1_000)
    return st.one_of(
        st.tuples(st.sampled_from(["forget", "undo", "delete", "expire"]), number),
        st.tuples(st.sampled_from(["edit", "supersede"]), st.tuples(number, _WORDS)),
        st.tuples(st.just("publish"), number),
        st.tuples(st.just("erase"), st.sampled_from(VIEWERS)),
    )


@dataclass
class Corpus:
    """One owner's documents, in the database and as they should stand, oldest first."""

    connection: AsyncConnection
    owner: str
    persona_ids: dict[str, UUID] = field(default_factory=dict)
    session_ids: dict[tuple[str, str, str], UUID] = field(default_factory=dict)
    documents: list[Said] = field(default_factory=list)

    async def run(self, statement: str, **values: Any) -> None:
        await self.connection.execute(text(statement), values | {"owner": self.owner})

    async def open(self) -> None:
        """From here on the transaction is the owner's."""
        await self.run("SELECT set_config('app.owner_id', :owner, true)")
        await self.run("INSERT INTO owners (id) VALUES (:owner) ON CONFLICT DO NOTHING")
        for slug in PERSONAS:
            self.persona_ids[slug] = uuid4()
            await self.run(
                "INSERT INTO personas (id, owner_id, slug, name) VALUES (:id, :owner, :slug, :slug)",
                id=self.persona_ids[slug],
                slug=slug,
            )

    async def apply(self, ops: Sequence[Op]) -> None:
        """Each in turn; one that has nothing to work on does nothing."""
        for name, given in ops:
            await getattr(self, name)(given)

    async def say(self, given: dict[str, Any]) -> None:
        said = Said(source=uuid4(), **given)
        await self.run("INSERT INTO users (owner_id, id) VALUES (:owner, :user) ON CONFLICT DO NOTHING", user=said.user)
        await (self._exchange if said.kind == "interaction" else self._memory)(said)
        self.documents.append(said)

    async def edit(self, given: tuple[int, Sequence[str]]) -> None:
        if (said := self._one(given[0])) is not None:
            said.words = given[1]
            table, column = ("memories", "content") if said.kind == "memory" else ("interactions", "input_text")
            more = "" if said.kind == "memory" else ", output_text = ''"
            await self.run(
                f"UPDATE {table} SET {column} = :text{more} WHERE id = :id", text=" ".join(said.words), id=said.source
            )

    async def publish(self, number: int) -> None:
        if (said := self._one(number)) is not None:
            said.audience = "public"
            table = "memories" if said.kind == "memory" else "interactions"
            await self.run(f"UPDATE {table} SET audience = 'public' WHERE id = :id", id=said.source)

    async def forget(self, number: int, gone: bool = True) -> None:
        if (said := self._one(number, "memory")) is not None:
            said.is_gone = gone
            await self.run("UPDATE memories SET is_deleted = :gone WHERE id = :id", gone=gone, id=said.source)

    async def undo(self, number: int) -> None:
        await self.forget(number, gone=False)

    async def expire(self, number: int) -> None:
        if (said := self._one(number, "memory")) is not None:
            said.is_expired = True
            await self.run("UPDATE memories SET expires_at = now() - interval '1 s' WHERE id = :id", id=said.source)

    async def supersede(self, given: tuple[int, Sequence[str]]) -> None:
        if (said := self._one(given[0], "memory")) is not None:
            said.is_ended = True
            await self.run("UPDATE memories SET valid_to = now() WHERE id = :id", id=said.source)
            fresh = {name: getattr(said, name) for name in ("kind", "user", "persona", "session", "at", "audience")}
            await self.say(fresh | {"words": given[1]})

    async def delete(self, number: int) -> None:
        if (said := self._one(number)) is not None:
            self.documents.remove(said)
            table = "memories" if said.kind == "memory" else "interactions"
            await self.run(f"DELETE FROM {table} WHERE id = :id", id=said.source)

    async def erase(self, user: str) -> None:
        self.documents = [said for said in self.documents if said.user != user]
        self.session_ids = {key: session for key, session in self.session_ids.items() if key[0] != user}
        await self.run("DELETE FROM users WHERE id = :user AND owner_id = :owner", user=user)

    def _one(self, number: int, kind: Kind | None = None) -> Said | None:
        among = [said for said in self.documents if kind in (None, said.kind)]
        return among[number % len(among)] if among else None

    async def _memory(self, said: Said) -> None:
        await self.run(
            """
            INSERT INTO memories (id, owner_id, user_id, persona_id, type, content, valid_from, audience, metadata)
            VALUES (:id, :owner, :user, :persona, 'fact', :text, :at, :audience,
                    jsonb_strip_nulls(jsonb_build_object('session', CAST(:session AS text))))
            """,
            **self._values(said) | {"session": said.session},
        )

    async def _exchange(self, said: Said) -> None:
        assert said.persona is not None
        assert said.session is not None
        key = (said.user, said.persona, said.session)
        if key not in self.session_ids:
            self.session_ids[key] = uuid4()
            await self.run(
                "INSERT INTO sessions (id, owner_id, persona_id, user_id) VALUES (:id, :owner, :persona, :user)",
                id=self.session_ids[key],
                persona=self.persona_ids[said.persona],
                user=said.user,
            )
        half = len(said.words) // 2 + 1  # both sides count
        sides = {"text": " ".join(said.words[:half]), "reply": " ".join(said.words[half:])}
        await self.run(
            """
            INSERT INTO interactions (id, owner_id, persona_id, session_id, user_id, input_text, output_text, occurred_at,
                                      quality_score, quality, content_hash, audience)
            VALUES (:id, :owner, :persona, :session, :user, :text, :reply, :at, 1, '{}', '', :audience)
            """,
            **self._values(said) | {"session": self.session_ids[key]} | sides,
        )

    def _values(self, said: Said) -> dict[str, Any]:
        persona = None if said.persona is None else self.persona_ids[said.persona]
        return {
            "id": said.source, "user": said.user, "persona": persona, "text": " ".join(said.words), "at": said.at,
            "audience": said.audience,
        }  # fmt: skip

    def readable(self, everybody: bool, audiences: Sequence[str]) -> dict[UUID, list[str]]:
        """What Luna may recall with Casiopy: each document's words, and behind them the last of the one before."""
        read: dict[UUID, list[str]] = {}
        ends: dict[tuple[str, str, Kind, str | None], Sequence[str]] = {}
        for said in sorted(self.documents, key=lambda one: one.at):  # equal moments in the order of writing
            if (
                (said.user == "luna" or (everybody and said.audience == "public"))
                and said.persona in ("casiopy", None)
                and said.audience in audiences
                and not (said.is_gone or said.is_ended or said.is_expired)
            ):
                read[said.source] = list(said.words)
                if said.session is not None:
                    key = (said.user, said.session, said.kind, said.persona if said.kind == "interaction" else None)
                    read[said.source] += ends.get(key, [])
                    ends[key] = said.words[-END:]
        return read
