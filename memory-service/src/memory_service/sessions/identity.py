"""Session ids as clients write them: the UUID the service gave, or a name of the client's own."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator
from sqlalchemy import ColumnElement

from memory_service.models import Session

SESSION_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$"
_NAME = re.compile(SESSION_ID_PATTERN.rstrip("$") + r"\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def checked(ref: str) -> str:
    """`ref`, when it can be a session id; a UUID comes back in lower case, as the service writes it.

    Raises:
        ValueError: it cannot; the message says what one looks like.
    """
    if _NAME.match(ref) is None:
        raise ValueError(
            "a session id is a UUID or a name of your own: 1 to 128 letters, digits and _ . : @ -, a letter or digit first"
        )
    return ref.lower() if _UUID.fullmatch(ref) else ref


def as_uuid(ref: str) -> UUID | None:
    """The UUID that `ref` is; None for a client's own name."""
    return UUID(ref) if _UUID.fullmatch(ref) else None


def named_by(ref: str | UUID) -> ColumnElement[bool]:
    """Condition for the one session that `ref` means."""
    uuid = ref if isinstance(ref, UUID) else as_uuid(ref)
    return Session.name == ref if uuid is None else Session.id == uuid


SessionId = Annotated[str, AfterValidator(checked)]
SessionInPath = Annotated[
    SessionId,
    Path(description="The session's UUID, or your own name for it.", json_schema_extra={"pattern": SESSION_ID_PATTERN}),
]
