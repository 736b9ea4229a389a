"""Chat as the API takes and shows it, in its three documented forms."""

from typing import Annotated, Any, Literal, Self, get_args
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, model_validator

from memory_service.extraction.operations import Event
from memory_service.extraction.statements import Extractor
from memory_service.fields import Storable, UserId
from memory_service.models import MAX_TEXT
from memory_service.personas.schemas import SLUG
from memory_service.sessions.identity import SessionId

Form = Literal["prompt", "mensaje", "message"]
_FORMS: tuple[Form, ...] = get_args(Form)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank: send what the viewer said")
    return text


Words = Annotated[str, Field(max_length=MAX_TEXT), Storable, AfterValidator(_not_blank)]


class ChatRequest(BaseModel):
    """What the viewer says, under one of three names; the answer has the form that goes with the name."""

    prompt: Words | None = Field(None, description="What the viewer says.", examples=["Hola, me llamo Antonio"])
    mensaje: Words | None = Field(None, description="The same; the answer is `{respuesta, session_id, decision}`.")
    message: Words | None = Field(None, description="The same; nothing is learned from it unless `extract` is true.")
    session_id: SessionId | None = Field(
        None, description="The conversation: a UUID or a name of your own, here or in the header `session-id`."
    )
    user_id: UserId | None = Field(None, description="The viewer; the session is a viewer of its own when absent.")
    persona: str | None = Field(None, pattern=SLUG, description="Who shall answer; the default persona when absent.")
    extract: bool | None = Field(
        None, description="Whether to learn from the message. Absent: yes for `prompt` and `mensaje`, no for `message`."
    )
    stream: bool = Field(False, description="Answer piece by piece, as `text/event-stream`.")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [name for name in _FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f"{' and '.join(given)} are here" if given else "none is here"
            raise ValueError(f"prompt: send exactly one of prompt, mensaje and message; {found}")
        return self

    @property
    def form(self) -> Form:
        """The name that the message came under."""
        return next(name for name in _FORMS if getattr(self, name) is not None)

    @property
    def said(self) -> str:
        """The message."""
        return str(getattr(self, self.form))

    @property
    def learns(self) -> bool | None:
        """Whether to learn from the message: True and False when the client said so; None: as its form does."""
        return False if self.extract is None and self.form == "message" else self.extract


class UsedMemory(BaseModel):
    """A memory that recall found and the prompt held."""

    id: UUID
    content: str
    relevance_score: float


class LearnedField(BaseModel):
    """What the message changed in what is known of the viewer."""

    field: str
    value: Any
    event: Event


class ChatAnswer(BaseModel):
    """The answer to `prompt` and `message`."""

    response: str
    session_id: str
    user_id: str
    interaction_id: UUID
    decision: str = Field(description="Who answered: an agent's name, or `persona`.")
    model: str | None = Field(description="The model that answered; null when an agent did.")
    memories: list[UsedMemory]
    learned: list[LearnedField]
    extractor: Extractor | None = Field(description="What read the message; null when nothing did.")
    problem: str | None = Field(description="What went wrong while learning or recalling; the answer is not affected.")


class Respuesta(BaseModel):
    """The answer to `mensaje`."""

    respuesta: str
    session_id: str
    decision: str = Field(description="Who answered: an agent's name, or `persona`.")
