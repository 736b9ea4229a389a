"""What one caller may use: requests a minute, and bytes in a body, refused before they fill the memory."""

import math
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_service.errors import ServiceError, error_response


@dataclass(frozen=True)
class Allowance:
    """What a key's bucket answered to one request.

    Attributes:
        limit: requests a minute, which is also how many the full bucket holds.
        taken: whether there was a token for this request.
        remaining: whole tokens left.
        next_in: seconds until there is one again; 0 when there is.
        full_in: seconds until the bucket is full.
    """

    limit: int
    taken: bool
    remaining: int
    next_in: float
    full_in: float

    def headers(self, now: float) -> dict[str, str]:
        """The X-RateLimit headers at `now` (Unix time); with Retry-After, in whole seconds, when no token was left."""
        shown = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(now + self.full_in)),
        }
        return shown if self.taken else shown | {"Retry-After": str(max(1, math.ceil(self.next_in)))}


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
