"""/gdpr: hand out everything held of a viewer, or erase it."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio import CancelScope
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Send

from memory_service.fields import UserId
from memory_service.gdpr import contents, document, service
from memory_service.gdpr.schemas import Erased
from memory_service.unit_of_work import OwnedRoute, OwnerId

router = APIRouter(prefix="/gdpr", tags=["gdpr"], route_class=OwnedRoute)

Whose = Annotated[UserId, Query(description="The viewer, under the id the client gave.")]
_DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            document.MEDIA_TYPES["json"]: {"schema": {"type": "object"}},
            document.MEDIA_TYPES["ndjson"]: {"schema": {"type": "string"}},
        },
        "description": "`{user_id, exported_at, user, sessions, interactions, memories, feedback_given, vector_counts, "
        "vectors, used_in}`; as NDJSON one object a line, whose `kind` says what it is.",
    }
}


class _Download(StreamingResponse):
    """A streamed answer that gives its database connection back when the reader leaves, be it before the first byte."""

    def __init__(
        self, content: AsyncGenerator[bytes, None], source: AsyncGenerator[Any, None], **settings: Any
    ) -> None:
        super().__init__(content, **settings)
        self._content, self._source = content, source

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            with CancelScope(shield=True):  # or closing would be cancelled, too
                await self._content.aclose()
                await self._source.aclose()


@router.get("/export", response_class=Response, responses=_DOWNLOAD)
async def export(
    request: Request,
    owner: OwnerId,
    user_id: Whose,
    format: Annotated[document.Format, Query(description="One document, or one object a line.")] = "json",
    vectors: Annotated[bool, Query(description="The vectors themselves, not only how many there are.")] = False,
) -> StreamingResponse:
    """Everything held about a viewer, as it is at this moment: one JSON document, streamed.

    Superseded, expired and deleted memories are there, too; `state` says what they are. `used_in` names the datasets,
    adapters and deployments that learned from the viewer's exchanges.
    """
    items = contents.everything(request.app.state.database, owner, user_id, with_vectors=vectors)
    await anext(items)  # an unknown viewer is told before the answer begins
    head = {"user_id": user_id, "exported_at": datetime.now(UTC)}
    name = document.file_name(user_id, format)
    return _Download(
        _written(items, head, format),
        items,
        media_type=document.MEDIA_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


async def _written(
    items: AsyncGenerator[document.Item | None, None], head: dict[str, Any], format: document.Format
) -> AsyncGenerator[bytes, None]:
    found = (item async for item in items if item is not None)
    lines = format == "ndjson"
    pieces = document.as_lines(head, found) if lines else document.as_document(head, contents.SECTIONS, found)
    async for chunk in document.in_chunks(pieces):
        yield chunk


@router.delete("/delete")
async def erase(request: Request, owner: OwnerId, user_id: Whose) -> Erased:
    """Erase a viewer: sessions, exchanges, memories, feedback, summaries, vectors, the viewer's row and consent.

    Datasets and adapters that learned from them become tainted, and the answer lists them with their deployments. Topics
    named after their exchanges are found anew, and the owner's remembered answers to repeated writes are dropped.
    """
    return await service.erase(request.app.state.database, owner, user_id)
