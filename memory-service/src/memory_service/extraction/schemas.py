"""Extraction as the API takes and shows it."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, model_validator

from memory_service.extraction.operations import Event
from memory_service.extraction.statements import Extractor
from memory_service.fields import Storable, UserId
from memory_service.memories.schemas import MemoryItem
from memory_service.models import MAX_TEXT
from memory_service.personas.schemas import SLUG

# More turns than a prompt ever holds; longer histories are imported as interactions.
_MAX_TURNS = 200


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank: send what the user said")
    return text


Said = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), Storable, AfterValidator(_not_blank)]


class MessageRequest(BaseModel):
    """What a user said."""

    user_id: UserId
    message: Said = Field(examples=["My name is John and I love Python"])
    persona: str | None = Field(
        None, pattern=SLUG, description="Learn it for this persona alone; absent: it holds for every persona."
    )


class Turn(BaseModel):
    """One turn of a conversation."""

    role: Literal["user", "human", "assistant", "ai", "system", "developer", "tool"]
    content: Annotated[str, Field(max_length=MAX_TEXT), Storable]


class ExtractRequest(BaseModel):
    """A message, or a conversation of which the user's turns are read; exactly one of the two."""

    user_id: UserId
    message: Said | None = Field(
        None,
        validation_alias=AliasChoices("message", "text", "content"),
        description="What the user said. `text` and `content` are understood, too.",
    )
    messages: list[Turn] | None = Field(
        None,
        max_length=_MAX_TURNS,
        validation_alias=AliasChoices("messages", "conversation"),
        description="A conversation; only turns of the roles `user` and `human` are read. `conversation` is understood, too.",
    )
    store: bool = Field(True, description="False: only say what would be remembered.")
    persona: str | None = Field(
        None, pattern=SLUG, description="Learn it for this persona alone; absent: it holds for every persona."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.message is None) == (self.messages is None):
            raise ValueError("message: send either `message` or `messages`, what the user said or the conversation")
        said = self.said
        if not said:
            raise ValueError("messages: no turn of the role `user` says anything")
        if sum(map(len, said)) > MAX_TEXT:
            raise ValueError(f"messages: the user's turns have more than {MAX_TEXT} characters together")
        return self

    @property
    def said(self) -> list[str]:
        """What the user said, turn by turn."""
        if self.messages is None:
            return [self.message] if self.message else []
        return [turn.content for turn in self.messages if turn.role in {"user", "human"} and turn.content.strip()]


class ExtractedMemory(BaseModel):
    """What happened to one field."""

    field: str = Field(examples=["likes"])
    value: Any = Field(
        description="A list field's items that came or went; a single value, the old one when it was deleted.",
        examples=[["Python"]],
    )
    event: Event = Field(description="NONE (already known, or nothing to take away) only with `explain`.")


class MessageLearned(BaseModel):
    """What was learned from a message."""

    success: bool = Field(description="False: the message could not be read; `problem` says why. Nothing was changed.")
    extracted_memories: list[ExtractedMemory]
    response_time_ms: int = Field(ge=0)
    extractor: Extractor = Field(description="What read the message; rules when no model is configured.")
    problem: str | None = Field(description="What went wrong; with `success`, what was left out, and why.")


class Extracted(BaseModel):
    """What was extracted, and the memories written."""

    user_id: str
    success: bool = Field(description="False: the message could not be read; `problem` says why. Nothing was changed.")
    extracted_memories: list[ExtractedMemory]
    memories: list[MemoryItem] = Field(description="The memories that were written, as they are now.")
    extractor: Extractor = Field(description="What read the message; rules when no model is configured.")
    problem: str | None = Field(description="What went wrong; with `success`, what was left out, and why.")
