"""The two kinds of rows that get vectors: which texts stand for a row, and which column their documents name them in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Row
from sqlalchemy.orm import InstrumentedAttribute

from memory_service.embeddings.texts import embedded_text
from memory_service.models import Interaction, Memory, RecallDocument


@dataclass(frozen=True, slots=True)
class Source:
    """A table whose rows get vectors.

    Attributes:
        name: what a job's payload calls its rows.
        entrypoint: the queue's name for its jobs.
        table: the rows, with `embedding_status`.
        columns: what `text` reads of a row; the column types decrypt it.
        text: what stands for a row when it is embedded.
        document_of: the column of `recall_documents` that names a row.
    """

    name: str
    entrypoint: str
    table: type[Interaction] | type[Memory]
    columns: tuple[InstrumentedAttribute[Any], ...]
    text: Callable[[Row[Any]], str]
    document_of: InstrumentedAttribute[Any]


INTERACTIONS = Source(
    name="interactions",
    entrypoint="embed_interactions",
    table=Interaction,
    columns=(Interaction.input_text, Interaction.output_text, Interaction.dropped),
    text=lambda row: embedded_text(row.input_text, row.output_text, dropped=row.dropped),
    document_of=RecallDocument.interaction_id,
)
MEMORIES = Source(
    name="memories",
    entrypoint="embed_memories",
    table=Memory,
    columns=(Memory.content,),
    text=lambda row: str(row.content),
    document_of=RecallDocument.memory_id,
)
SOURCES = (INTERACTIONS, MEMORIES)
