"""Reads bodies as JSON whatever their sender calls them."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

# What `curl -d '{…}'` says, and what a client says that says nothing. No address here takes forms.
_CALLED = frozenset({"", "application/x-www-form-urlencoded"})


class JsonBodies:
    """Lets `curl -d '{…}'` work without a Content-Type header.

    Browsers send such a request to any address without asking first: `LoopbackGuard` judges who sends it, and with keys
    a foreign page has none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body called JSON."""
        if scope["type"] == "http":
            called = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
            if called in _CALLED:
                # In place: what the router notes in the scope stays visible outside.
                others = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
                scope["headers"] = [*others, (b"content-type", b"application/json")]
        await self._app(scope, receive, send)
