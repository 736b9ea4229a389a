"""Who calls: the owner behind a key, or, keyless on loopback, the owner of this machine."""

import hashlib
import hmac
from urllib.parse import urlsplit

from fastapi import Request
from sqlalchemy import text
from starlette.types import ASGIApp, Receive, Scope, Send

from memory_service.db import Database
from memory_service.errors import AuthenticationRequired, Forbidden, error_response
from memory_service.settings import LOOPBACK_HOSTS, Settings

_FIND_KEY = text("SELECT key_owner FROM authenticate_key(:hash)")


def presented_key(request: Request) -> str | None:
    """The key in `Authorization: Bearer …` or `X-API-Key`, if any."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key") or None


async def owner_of(request: Request) -> str:
    """The owner this request acts for.

    Raises:
        AuthenticationRequired: a key is needed and the one given (or none) is not valid.
    """
    settings: Settings = request.app.state.settings
    database: Database = request.app.state.database
    key = presented_key(request)
    if key is not None:
        if settings.api_key is not None and hmac.compare_digest(
            key.encode(), settings.api_key.get_secret_value().encode()
        ):
            return settings.default_owner
        async with database.unowned() as connection:
            owner = await connection.scalar(_FIND_KEY, {"hash": hashlib.sha256(key.encode()).digest()})
        if owner is not None:
            return str(owner)
    elif settings.api_key is None and settings.is_loopback:
        return settings.default_owner
    raise AuthenticationRequired


def _host_name(host: str) -> str:
    return (urlsplit(f"//{host}").hostname or "").lower()


class LoopbackGuard:
    """Keeps web pages out of a keyless service.

    A page on another site can make a visitor's browser call `http://127.0.0.1:8820`, or point its own name at that address
    (DNS rebinding). So without keys, the Host must be a loopback name and an Origin, when sent, loopback or allowed.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._origins = frozenset(settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and (refusal := self._refuse(Request(scope))) is not None:
            await error_response(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refuse(self, request: Request) -> Forbidden | None:
        host = request.headers.get("host", "")
        if _host_name(host) not in LOOPBACK_HOSTS:
            return Forbidden(
                f"Host {host!r} is not this machine. Without API_KEY the service answers only to 127.0.0.1 or localhost; "
                "set API_KEY to call it by another name."
            )
        origin = request.headers.get("origin")
        if origin is None or origin in self._origins:
            return None
        if origin != "null" and (urlsplit(origin).hostname or "") in LOOPBACK_HOSTS:
            return None
        return Forbidden(f"Origin {origin!r} may not call this service. Add it to CORS_ORIGINS, or set API_KEY.")
