"""Who calls, and whether they may: the owner behind a key, or, keyless on loopback, the owner of this machine."""

import hashlib
import hmac
import time
from urllib.parse import urlsplit

from fastapi import Request
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_service.db import Database
from memory_service.errors import (
    DATABASE_AWAY,
    AuthenticationRequired,
    Forbidden,
    RateLimited,
    ServiceError,
    answer_to,
    error_response,
)
from memory_service.limits import Allowance
from memory_service.settings import LOOPBACK_HOSTS, Settings

# Need no key and are not limited: what monitors and people look at before they have one. Nothing stored is behind them.
_OPEN = frozenset(
    {
        "/",
        "/api/v1/",
        "/health",
        "/api/v1/health",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/oauth2-redirect",
        "/redoc",
    }
)
_OPEN_ASSETS = "/static-offline-docs/"

# The name of API_KEY's bucket; a stored key's bucket is named by its id.
_FIXED_KEY = "API_KEY"

# One call for a key in whatever state: a key nobody holds finds no row, and no bucket is made for it.
_ADMIT = text("""
    SELECT key_owner, key_rate_limit, taken, remaining, next_in, full_in
    FROM authenticate_key(:hash), take_token(key_id::text, key_rate_limit)
""")
_ADMIT_FIXED = text("SELECT taken, remaining, next_in, full_in FROM take_token(:bucket, :limit)")


def presented_key(request: Request) -> bytes | None:
    """The key in `Authorization: Bearer …` or `X-API-Key`, byte by byte as it was sent, if any."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip().encode("latin-1")
    return request.headers.get("x-api-key", "").encode("latin-1") or None


def owner_of(request: Request) -> str:
    """The owner this request acts for, as `Admission` found it.

    Raises:
        AuthenticationRequired: nobody was let in.
    """
    owner: str | None = getattr(request.state, "owner", None)
    if owner is None:
        raise AuthenticationRequired
    return owner


class Admission:
    """Finds out who calls and takes a token from their bucket, before anything else looks at the request.

    Both happen in one transaction of its own, which is over when the request's begins: a request that fails has been
    made all the same. Every answer to a key's request says how much of its limit is left.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        fixed = settings.api_key
        # Digests have one length, so that comparing takes the same time however much of a key was guessed.
        self._fixed = None if fixed is None else hashlib.sha256(fixed.get_secret_value().encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its owner, or answer 401, 429, or 503 while the database is away."""
        if scope["type"] != "http" or scope["path"] in _OPEN or scope["path"].startswith(_OPEN_ASSETS):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            owner, allowance = await self._admit(request)
        except (ServiceError, DBAPIError, *DATABASE_AWAY) as error:
            await answer_to(error)(scope, receive, send)
            return
        request.state.owner = owner
        if allowance is None:
            await self._app(scope, receive, send)
            return
        shown = allowance.headers(time.time())

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(shown)
            await send(message)

        await self._app(scope, receive, with_headers)

    async def _admit(self, request: Request) -> tuple[str, Allowance | None]:
        """Owner and allowance of the request; no allowance where no key is needed and none was given.

        Missing, malformed, wrong and revoked keys cost the same work: one digest, one comparison, one database call.

        Raises:
            AuthenticationRequired: a key is needed and the one given (or none) is not valid.
            RateLimited: the key is valid and its bucket is empty.
        """
        key = presented_key(request)
        if key is None and self._settings.keyless:
            return self._settings.default_owner, None
        digest = hashlib.sha256(key or b"").digest()
        database: Database = request.app.state.database
        same = hmac.compare_digest(digest, self._fixed or bytes(len(digest)))
        fixed = same and self._fixed is not None and key is not None
        async with database.unowned() as connection:
            if fixed:
                limit, owner = self._settings.api_key_rate_limit, self._settings.default_owner
                row = (await connection.execute(_ADMIT_FIXED, {"bucket": _FIXED_KEY, "limit": limit})).one()
            else:
                found = (await connection.execute(_ADMIT, {"hash": digest})).one_or_none()
                if found is None:
                    raise AuthenticationRequired
                row, limit, owner = found, found.key_rate_limit, found.key_owner
        allowance = Allowance(limit, row.taken, row.remaining, row.next_in, row.full_in)
        if not allowance.taken:
            raise RateLimited(allowance.headers(time.time()))
        return owner, allowance


def _host_name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:  # such as an unclosed bracket
        return ""


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
        if _host_name(f"//{host}") not in LOOPBACK_HOSTS:
            return Forbidden(
                f"Host {host!r} is not this machine. Without API_KEY the service answers only to 127.0.0.1 or localhost; "
                "set API_KEY to call it by another name."
            )
        origin = request.headers.get("origin")
        if origin is None:
            return self._refuse_unsaid_origin(request)
        if origin in self._origins or "*" in self._origins:
            return None
        if origin != "null" and _host_name(origin) in LOOPBACK_HOSTS:
            return None
        return Forbidden(f"Origin {origin!r} may not call this service. Add it to CORS_ORIGINS, or set API_KEY.")

    @staticmethod
    def _refuse_unsaid_origin(request: Request) -> Forbidden | None:
        """A page may open or link an address here, but a write from one that does not say where it is from is not heard."""
        reads = request.method in {"GET", "HEAD"}
        if reads or request.headers.get("sec-fetch-site", "none") != "cross-site":
            return None
        return Forbidden(
            "A page of another site may not call this service. Add its origin to CORS_ORIGINS, or set API_KEY."
        )
