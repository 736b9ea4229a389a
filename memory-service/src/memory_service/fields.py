"""Field types that several slices' schemas share: texts PostgreSQL can store, moments in UTC, free metadata."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from memory_service.models import MAX_TEXT

# Metadata rides along with a row and is never searched: room for a client's own ids, not for documents.
MAX_METADATA_BYTES = 16_384
# Clocks of machines differ, a day covers every time zone mistake; anything later is a wrong unit or a wrong year.
_AHEAD = timedelta(days=1)
# Exports begin with 1970 too. Much earlier ones are no moments at all to PostgreSQL's driver: it stores the very first
# as minus infinity and reads it back without a zone, so that it compares with no other.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
# The answer is written some 250 levels deep at most; no client's own ids need more than a few.
MAX_METADATA_DEPTH = 32
# A NUL as JSON writes it, not a text that happens to say `\u0000`.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def storable(value: str) -> str:
    """`value`, when PostgreSQL can store it: every character but NUL and halves of surrogate pairs.

    Raises:
        ValueError: it cannot; the message says which character is in the way.
    """
    if "\x00" in value:
        raise ValueError("texts cannot contain the NUL character")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("texts cannot contain half of a surrogate pair") from None
    return value


def _in_utc(moment: datetime) -> datetime:
    """A moment without an offset is UTC."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the moment lies outside the years 1 to 9999") from None


def _within_reach(moment: datetime) -> datetime:
    if moment < _EARLIEST:
        raise ValueError("the moment lies before 1970; use ISO 8601 in UTC, e.g. 2026-01-05T20:00:00Z")
    if moment > datetime.now(UTC) + _AHEAD:
        raise ValueError(
            "the moment lies more than a day in the future; use ISO 8601 in UTC, e.g. 2026-01-05T20:00:00Z"
        )
    return moment


def json_depth(value: dict[str, Any]) -> int:
    """How many levels of objects and lists lie inside each other, counted up to one more than any field allows."""
    level: list[Any] = [value]
    for depth in range(MAX_METADATA_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not any(isinstance(inner, dict | list) for inner in level):
            return depth + 1
    return MAX_METADATA_DEPTH + 1


def storable_object(
    value: dict[str, Any], field: str = "metadata", *, max_bytes: int = MAX_METADATA_BYTES
) -> dict[str, Any]:
    """`value`, when PostgreSQL can store it and it takes at most `max_bytes` as PostgreSQL writes it.

    Raises:
        ValueError: it cannot be stored; the message calls it `field`.
    """
    if json_depth(value) > MAX_METADATA_DEPTH:
        raise ValueError(f"{field} is nested deeper than {MAX_METADATA_DEPTH} levels")
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise ValueError(f"{field} cannot contain NaN or infinite numbers") from None
    if _ESCAPED_NUL.search(written):
        raise ValueError("texts cannot contain the NUL character")
    if len(storable(written).encode()) > max_bytes:
        raise ValueError(f"{field} takes more than {max_bytes} bytes as JSON")
    return value


def _storable_object(value: dict[str, Any]) -> dict[str, Any]:
    return storable_object(value)


Storable = AfterValidator(storable)
# Who may hear of it again: this viewer alone, the streamer alone, or everybody.
Audience = Literal["viewer", "streamer", "public"]
Moment = Annotated[datetime, AfterValidator(_in_utc)]
PastMoment = Annotated[datetime, AfterValidator(_in_utc), AfterValidator(_within_reach)]
Metadata = Annotated[dict[str, Any], AfterValidator(_storable_object)]
UserId = Annotated[str, Field(min_length=1, max_length=255, examples=["viewer_17"]), Storable]
Label = Annotated[str, Field(max_length=255), Storable]
Utterance = Annotated[str, Field(max_length=MAX_TEXT), Storable]
