"""One way to page every list: `?limit=&cursor=` in, `{"items", "total", "next_cursor"}` out."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from memory_service.errors import BadRequest

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A slice of a list, and how to ask for the next one."""

    items: list[T]
    total: int = Field(description="Rows that match, on all pages.")
    next_cursor: str | None = Field(description="Pass it as `cursor` for the next page; null on the last.")


class PageRequest(BaseModel):
    """What the caller asks for."""

    limit: int = Field(50, ge=1, le=500)
    cursor: str | None = None


def _page_request(
    limit: Annotated[int, Query(ge=1, le=500, description="Rows a page, 1 to 500.")] = 50,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> PageRequest:
    return PageRequest(limit=limit, cursor=cursor)


Paging = Annotated[PageRequest, Depends(_page_request)]


def encode_cursor(values: Sequence[Any]) -> str:
    """Opaque to the client: the sort key of the last row it saw."""
    return base64.urlsafe_b64encode(json.dumps([str(value) for value in values]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, columns: Sequence[ColumnElement[Any]]) -> list[Any]:
    """The sort key in `cursor`, converted to the columns' types.

    Raises:
        BadRequest: not a cursor of this list.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return [_convert(value, column) for value, column in zip(values, columns, strict=True)]
    except (binascii.Error, UnicodeDecodeError, ValueError, TypeError):
        raise BadRequest("cursor is not one this list gave out. Start again without it.") from None


def _convert(value: object, column: ColumnElement[Any]) -> Any:
    if not isinstance(value, str):
        raise TypeError("a cursor holds texts")
    kind = column.type.python_type
    if hasattr(kind, "fromisoformat"):
        return kind.fromisoformat(value)
    return kind(value)


async def fetch_page(
    connection: AsyncConnection,
    statement: Select[Any],
    order: Sequence[ColumnElement[Any]],
    paging: PageRequest,
    *,
    descending: bool = False,
) -> tuple[Sequence[Row[Any]], int, str | None]:
    """Rows of one page, the total, and the next cursor.

    `order` must end in a unique column of `statement`, whose rows carry each of them under its own name.
    """
    total = await connection.scalar(select(func.count()).select_from(statement.order_by(None).subquery()))
    if paging.cursor is not None:
        key, seen = tuple_(*order), tuple_(*decode_cursor(paging.cursor, order))
        statement = statement.where(key < seen if descending else key > seen)
    ordered = statement.order_by(*(column.desc() if descending else column.asc() for column in order))
    rows = (await connection.execute(ordered.limit(paging.limit + 1))).all()
    shown = rows[: paging.limit]
    more = len(rows) > paging.limit
    cursor = encode_cursor([getattr(shown[-1], str(column.key)) for column in order]) if more else None
    return shown, int(total or 0), cursor
