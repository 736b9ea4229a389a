"""One turn of a conversation: who answers, with what before their eyes, and what stays of it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.agents.agent import PERSONA, Agent, Turn
from memory_service.agents.routing import choose
from memory_service.chat import summarising
from memory_service.chat.assembly import DoesNotFit, Parts, Prompt, Remembered, Said, assemble, there_anyway
from memory_service.core_memory import service as core_memory
from memory_service.db import Database
from memory_service.embeddings.background import BackgroundEmbedder
from memory_service.errors import BadRequest, Conflict
from memory_service.extraction.operations import Change
from memory_service.extraction.service import learn
from memory_service.extraction.statements import Extractor
from memory_service.ids import make_id
from memory_service.interactions import service as interactions
from memory_service.interactions.schemas import InteractionCreate
from memory_service.llm.model import LanguageModel, NoModel
from memory_service.memories import service as memories
from memory_service.memories.schemas import MemoryItem
from memory_service.models import MAX_TEXT
from memory_service.personas.service import CurrentPersona, resolve
from memory_service.recall import service as recall
from memory_service.recall.schemas import MAX_EXCLUDED, RecallRequest
from memory_service.recall.second_look import SecondLook
from memory_service.sessions import history, summaries
from memory_service.sessions import service as sessions
from memory_service.sessions.history import Exchange
from memory_service.sessions.service import Conversation
from memory_service.settings import Settings

# Exchanges read for a turn. The prompt holds those that no summary covers, and always the last few.
_READ = 40
_RECALLED = 8
_KNOWN_TYPES = frozenset({"fact", "preference", "event"})


@dataclass(frozen=True, slots=True)
class Message:
    """What a viewer says.

    Attributes:
        ref: the session's id as the client knows it; None: a session begins.
        learns: None: unless an agent answers, for what it is told is about others.
    """

    text: str
    ref: str | None
    user_id: str | None
    persona: str | None
    learns: bool | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A turn before it is answered. `prompt` is the persona's; an agent makes its own."""

    message: Message
    ref: str
    session: Conversation | None
    persona: CurrentPersona
    exchanges: tuple[Exchange, ...]
    began: datetime
    agent: Agent | None = None
    prompt: Prompt | None = None
    note: str | None = None

    @property
    def user_id(self) -> str:
        """The viewer."""
        return self.session.user_id if self.session else self.message.user_id or sessions.viewer_of(self.ref)

    @property
    def decision(self) -> str:
        """Who answers."""
        return self.agent.name if self.agent else PERSONA


@dataclass(frozen=True, slots=True)
class Answered:
    """A turn that is stored."""

    prepared: Prepared
    text: str
    interaction_id: UUID
    model: str | None
    changes: tuple[Change, ...] = ()
    extractor: Extractor | None = None
    problem: str | None = None


class Chat:
    """Everything a turn needs of the service, for one owner.

    No transaction is open while a model or an agent thinks; but one is for the second or so in which RECALL_REWRITE may put a
    question better.
    """

    def __init__(self, app: FastAPI, owner: str) -> None:
        self._owner = owner
        self._settings: Settings = app.state.settings
        self._database: Database = app.state.database
        self._embedder: BackgroundEmbedder = app.state.embedder
        self._model: LanguageModel | None = app.state.model
        self._agents: Sequence[Agent] = app.state.agents
        self._second_look: SecondLook = app.state.second_look

    async def prepare(self, message: Message) -> Prepared:
        """Decide who answers, and assemble the prompt when it is the persona.

        Raises:
            BadRequest: the message is too long, or the session is another viewer's or persona's. NotFound: the session or
            persona is none of this owner's. Conflict: the session has ended. NoModel: the persona should answer, and there
            is no model. ModelUnavailable, ModelAnswerUnusable: the model could not say who answers.
        """
        limit = self._settings.max_prompt_chars
        if len(message.text) > limit:
            raise BadRequest(
                f"The message has {len(message.text)} characters; at most {limit} are taken (MAX_PROMPT_CHARS). Shorten it."
            )
        async with self._database.transaction(self._owner) as connection:
            prepared = await self._begin(connection, message)
        agent = await choose(self._agents, message.text, prepared.exchanges, self._model) if self._agents else None
        if agent is not None:
            return replace(prepared, agent=agent)
        if self._model is None:
            raise NoModel
        async with self._database.transaction(self._owner) as connection:
            return await self._with_prompt(connection, prepared, self._model)

    async def _begin(self, connection: AsyncConnection, message: Message) -> Prepared:
        ref, began = message.ref or str(make_id()), datetime.now(UTC)
        session = None if message.ref is None else await sessions.find_conversation(connection, ref)
        if session is None:
            persona = await resolve(connection, self._owner, message.persona, self._settings.default_persona)
            if message.ref is not None:
                await self._refuse_a_taken_id(connection, persona, ref, message.user_id)
            return Prepared(message, ref, None, persona, (), began)
        _refuse_strangers(session, message)
        exchanges = await history.newest(connection, session.id, _READ)
        return Prepared(message, session.ref, session, session.persona, tuple(exchanges), began)

    async def _refuse_a_taken_id(
        self, connection: AsyncConnection, persona: CurrentPersona, ref: str, user_id: str | None
    ) -> None:
        """Another owner's session is hidden, and its id is taken nevertheless: better said before the model is asked."""
        attempt = await connection.begin_nested()
        made = await sessions.start_under(connection, self._owner, persona, ref, user_id)
        await attempt.rollback()
        if made is None and await sessions.find_conversation(connection, ref) is None:
            raise sessions.missing(ref)

    async def _with_prompt(self, connection: AsyncConnection, prepared: Prepared, model: LanguageModel) -> Prepared:
        persona, user_id = prepared.persona, prepared.user_id
        system = await core_memory.system_prompt(connection, persona)
        summary = await summaries.find(connection, prepared.session.id) if prepared.session else None
        known = await memories.tellable(connection, user_id, persona_id=persona.id)
        parts = Parts(
            system=system.system_prompt,
            message=prepared.message.text,
            language=persona.language,
            known=[Remembered(item.id, item.content) for item in _most_important_first(known)],
            summary=summary.text if summary else "",
            recent=[Said(one.id, one.said, one.answered) for one in _window(prepared.exchanges, summary)],
        )
        budget = model.context_tokens - answer_room(model)
        try:
            there = there_anyway(parts, budget)[:MAX_EXCLUDED]
            wanted = RecallRequest(user_id=user_id, query=parts.message, limit=_RECALLED, exclude=there)
            recalled = await recall.recall(connection, self._embedder, persona, wanted, self._second_look)
            found = [
                Remembered(hit.id, f"[{hit.created_at:%Y-%m-%d}] {hit.content}", hit.relevance_score)
                for hit in recalled.hits
            ]
            return replace(prepared, prompt=assemble(replace(parts, recalled=found), budget), note=recalled.note)
        except DoesNotFit as error:
            raise BadRequest(
                f"The persona's system prompt and the message take about {error.needed} tokens, and {error.budget} are there. "
                "Shorten the message, or raise LLM_CONTEXT_TOKENS if the model's context window is larger."
            ) from None

    async def answer(self, prepared: Prepared) -> tuple[str, str | None]:
        """The whole answer, and the model that gave it.

        Raises:
            ModelUnavailable, ModelAnswerUnusable: nothing is stored.
        """
        if prepared.agent is not None:
            return await prepared.agent.answer(self._turn(prepared)), None
        model, prompt = self._speaker(prepared)
        reply = await model.reply(prompt.messages, max_tokens=answer_room(model))
        return reply.text, reply.model

    async def pieces(self, prepared: Prepared) -> AsyncGenerator[str, None]:
        """The answer piece by piece; an agent's comes in one.

        Raises:
            ModelUnavailable, ModelAnswerUnusable: also in mid-answer.
        """
        if prepared.agent is not None:
            yield await prepared.agent.answer(self._turn(prepared))
            return
        model, prompt = self._speaker(prepared)
        stream: Any = model.stream(prompt.messages, max_tokens=answer_room(model))
        async with aclosing(stream):
            async for piece in stream:
                yield piece

    async def finish(
        self, prepared: Prepared, text: str, model: str | None = None, *, interrupted: bool = False
    ) -> Answered:
        """Store the exchange, have the summary brought up to date, and learn from the message.

        Raises:
            NotFound: the session was erased in the meantime; nothing is stored. Conflict: it ended.
        """
        if prepared.agent is None and model is None and self._model is not None:
            model = self._model.name
        said = storable_text(text)
        async with self._database.transaction(self._owner) as connection:
            interaction_id = await self._record(connection, prepared, said, model, interrupted=interrupted)
        answered = Answered(prepared, said, interaction_id, model, problem=prepared.note)
        wanted = prepared.message.learns
        if interrupted or not (prepared.agent is None if wanted is None else wanted):
            return answered
        learned = await learn(
            self._database,
            self._model,
            self._owner,
            None,
            prepared.user_id,
            prepared.message.text,
            source_interaction_id=interaction_id,
        )
        changes = tuple(change for change in learned.changes if change.event != "NONE")
        problem = " ".join(filter(None, (prepared.note, learned.problem))) or None
        return replace(answered, changes=changes, extractor=learned.extractor, problem=problem)

    async def _record(
        self, connection: AsyncConnection, prepared: Prepared, text: str, model: str | None, *, interrupted: bool
    ) -> UUID:
        session_id = await self._session_to_record_in(connection, prepared)
        metadata: dict[str, Any] = {"answered_at": datetime.now(UTC).isoformat()}
        if prepared.prompt is not None and prepared.prompt.block:
            metadata["memory_block"] = prepared.prompt.block
            metadata["memory_ids"] = [None if id is None else str(id) for id in prepared.prompt.block_ids]
        if prepared.agent is not None:
            metadata["answered_by"] = prepared.agent.name
        if interrupted:
            metadata["interrupted"] = True
        exchange = InteractionCreate(
            session_id=session_id,
            input_text=prepared.message.text,
            output_text=text,
            model_version=None if model is None else model[:255],
            occurred_at=prepared.began,
            metadata=metadata,
        )
        (stored,) = await interactions.record(connection, self._owner, [exchange])
        if self._model is not None and await summaries.is_due(connection, session_id):
            await summarising.enqueue(connection, self._owner, session_id)
        return stored.id

    async def _session_to_record_in(self, connection: AsyncConnection, prepared: Prepared) -> UUID:
        """The session, opened now where it is new. One that was erased during the wait does not come back."""
        if prepared.session is None:
            made = await sessions.start_under(
                connection, self._owner, prepared.persona, prepared.ref, prepared.message.user_id
            )
            if made is not None:
                return made
        found = await sessions.find_conversation(connection, prepared.ref)
        if found is None:
            raise sessions.missing(prepared.ref)
        _refuse_strangers(found, prepared.message)
        return found.id

    def _turn(self, prepared: Prepared) -> Turn:
        return Turn(
            message=prepared.message.text,
            history=prepared.exchanges,
            owner=self._owner,
            user_id=prepared.user_id,
            session_id=prepared.ref,
            language=prepared.persona.language,
            model=self._model,
            transaction=lambda: self._database.transaction(self._owner),
        )

    def _speaker(self, prepared: Prepared) -> tuple[LanguageModel, Prompt]:
        if self._model is None or prepared.prompt is None:
            raise NoModel
        return self._model, prepared.prompt


def answer_room(model: LanguageModel) -> int:
    """Tokens of the context window kept for the answer: a quarter, at most 4096."""
    return min(model.context_tokens // 4, 4096)


def storable_text(text: str) -> str:
    """An answer as the database takes it: no NUL, no half characters, no longer than an exchange's side may be."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")[:MAX_TEXT]


def _refuse_strangers(session: Conversation, message: Message) -> None:
    if session.ended_at is not None:
        raise Conflict(f"Session {session.ref} has ended and takes no more messages. Leave session_id out to open one.")
    if message.user_id not in (None, session.user_id):
        raise BadRequest(f"user_id: session {session.ref} is another viewer's. Leave session_id out to open a new one.")
    if message.persona not in (None, session.persona.slug):
        raise BadRequest(f"persona: session {session.ref} is a conversation with {session.persona.slug}.")


def _window(exchanges: Sequence[Exchange], summary: summaries.Summary | None) -> Sequence[Exchange]:
    """The last exchanges, and before them those that no summary covers yet."""
    covers = summary.covers if summary else None
    last = len(exchanges) - summaries.RECENT_EXCHANGES
    return [
        one
        for place, one in enumerate(exchanges)
        if place >= last or covers is None or (one.occurred_at, one.id) > covers
    ]


def _most_important_first(items: Sequence[MemoryItem]) -> list[MemoryItem]:
    """Keyed ones (who the viewer is) before loose ones, each by importance; equal ones stay newest first."""
    known = [item for item in items if item.type in _KNOWN_TYPES]
    return sorted(known, key=lambda item: (item.key is None, -(item.importance or 3)))
