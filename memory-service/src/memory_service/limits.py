"""Refuses request bodies that are too large before they fill the memory."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_service.errors import ServiceError, error_response


class TooLarge(ServiceError):
    """The body is larger than MAX_BODY_MB."""

    status = 413
    code = "too_large"


class BodyLimit:
    """Counts the bytes of every request body, announced or not; past the limit the answer is 413."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while its body stays within the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await error_response(self._refusal())(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                # FastAPI answers any other exception of a body it reads with a vague 400.
                raise HTTPException(TooLarge.status, self._refusal().detail)
            return message

        await self._app(scope, counted, send)

    def _refusal(self) -> TooLarge:
        limit = self._max_bytes // 1024**2
        return TooLarge(f"The request body is larger than {limit} MiB. Send it in parts, or raise MAX_BODY_MB.")
