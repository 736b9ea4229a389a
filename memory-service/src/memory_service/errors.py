"""One error base and one JSON shape: `{"detail": what happened and what to do, "error": stable code}`."""

import logging
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_service.db import is_given_up
from memory_service.encryption.types import UnreadableText

log = logging.getLogger(__name__)

# Raised by the trigger that guards core memory (migrations/versions).
IMMUTABLE_CORE_MEMORY = "CM001"


class ErrorBody(BaseModel):
    """The body of every refused request."""

    detail: str = Field(description="What happened and what to do about it.")
    error: str = Field(description="Stable code for programs.")


class ServiceError(Exception):
    """Base of every error the service answers with.

    Attributes:
        status: HTTP status code.
        code: stable code in the body's `error`.
    """

    status = 500
    code = "internal_error"

    def __init__(self, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers


class BadRequest(ServiceError):
    """The request cannot be carried out as it stands."""

    status = 400
    code = "bad_request"


class AuthenticationRequired(ServiceError):
    """Missing, malformed, wrong and revoked keys all end here, indistinguishable."""

    status = 401
    code = "authentication_required"

    def __init__(self) -> None:
        super().__init__("Authentication required", headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ServiceError):
    """The caller may not do this from where it is."""

    status = 403
    code = "forbidden"


class NotFound(ServiceError):
    """No such row for this owner."""

    status = 404
    code = "not_found"


class Conflict(ServiceError):
    """The request contradicts what is stored."""

    status = 409
    code = "conflict"


class ImmutableCoreMemory(Conflict):
    """The database itself refuses to change an immutable row."""

    code = "immutable_core_memory"

    def __init__(self) -> None:
        super().__init__(
            "This core memory entry is immutable: PostgreSQL refuses to change or delete it. "
            "Add a new entry instead, or restore a backup made before it was written."
        )


class RateLimited(ServiceError):
    """The key has used up its requests for now; the headers say when the next one is welcome."""

    status = 429
    code = "rate_limited"

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__("Rate limit exceeded", headers=headers)


class Unreadable(ServiceError):
    """A stored text is encrypted under a key the service does not have."""

    code = "unreadable_text"


class Unavailable(ServiceError):
    """A part the request needs does not answer."""

    status = 503
    code = "unavailable"


# What reaches the edge when no database answers.
DATABASE_AWAY = (ConnectionError, PoolTimeout, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError)


def error_response(error: ServiceError) -> JSONResponse:
    """Render `error` in the one shape."""
    return JSONResponse({"detail": error.detail, "error": error.code}, error.status, headers=error.headers)


def from_database(error: DBAPIError) -> ServiceError:
    """Say what a database refusal means to the caller; unknown ones stay internal errors."""
    state = getattr(error.orig, "sqlstate", None)
    if state == IMMUTABLE_CORE_MEMORY:
        return ImmutableCoreMemory()
    if state == "23505":
        return Conflict("An entry with the same name exists already. Change it, or choose another name.")
    if state == "23503":
        return BadRequest("The request names something that does not exist (or exists no longer).")
    if is_given_up(error):
        return Conflict("Another request changed the same rows at the same moment. Send this one again.")
    if state in {"23514", "23502", "22001"}:
        return BadRequest(f"The database refused a value: {_first_line(error)}")
    if state in {"22021", "22P05"}:
        return BadRequest("Texts cannot contain the NUL character. Remove it and send the request again.")
    if state is None or state[:2] in {"08", "53", "57"} or isinstance(error, OperationalError):
        return Unavailable("The database does not answer. Check `GET /health` and the service's log, then try again.")
    # Without its parameters and PostgreSQL's own words: both may repeat what a user wrote.
    log.error("PostgreSQL refused a statement (%s, %s): %s", state, type(error.orig).__name__, error.statement)
    return ServiceError("The database refused the request in a way the service does not know. See the service's log.")


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).splitlines()[0].split(">: ")[-1]


def answer_to(error: Exception) -> JSONResponse:
    """The answer to a request that ended in `error`; what nobody foresaw is a defect, and its text stays in the log."""
    if isinstance(error, ServiceError):
        return error_response(error)
    if isinstance(error, DATABASE_AWAY):
        return error_response(from_database(OperationalError("", {}, ConnectionError())))
    if isinstance(error, DBAPIError):
        return error_response(from_database(error))
    if isinstance(error, UnreadableText):
        return error_response(Unreadable(f"{error}."))
    detail = f"The service has a defect ({type(error).__name__}). Its log has the details: please report them."
    return error_response(ServiceError(detail))


def _describe(problem: dict[str, Any]) -> str:
    kind, where = problem["type"], tuple(problem["loc"])
    if kind == "json_invalid":
        why, position = problem["ctx"]["error"], where[-1]
        return f"The request body is not JSON ({why} at character {position}). Send a JSON object."
    if where == ("body",) and kind == "missing":
        return "The request has no body. Send a JSON object."
    if where == ("body",) and kind in {"model_attributes_type", "dict_type"}:
        return "The request body must be a JSON object, sent with Content-Type: application/json."
    # The first part says where the field was sent; a field may be called `query` itself.
    path = ".".join(str(part) for part in where[1:])
    what = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path}: {what}" if path else what


_CODES = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
# The framework's own words, which do not say what to do.
_DETAILS = {
    "Not Found": "No such address. See /docs for all of them.",
    "There was an error parsing the body": "The request body cannot be read: it must be JSON in UTF-8, nested at most some "
    "hundred levels deep.",
}


def install_error_handlers(app: FastAPI) -> None:
    """Make every failure of `app` answer in the one shape; bad input is 400, never 422."""

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        detail = "; ".join(_describe(problem) for problem in error.errors())
        return JSONResponse({"detail": detail, "error": "invalid_request"}, 400)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "http_error")
        detail = _DETAILS.get(error.detail, str(error.detail))
        return JSONResponse({"detail": detail, "error": code}, error.status_code, headers=error.headers)

    async def _answer(_: Request, error: Exception) -> JSONResponse:
        return answer_to(error)

    # Starlette hands a defect (`Exception`) on to the server's log, traceback and all, after its answer has left.
    for kind in (ServiceError, UnreadableText, DBAPIError, *DATABASE_AWAY, Exception):
        app.add_exception_handler(kind, _answer)


class DefectAnswers:
    """Answers 500 for what no handler foresaw, where other middleware can still add its headers to the answer.

    The framework's own answer to a defect leaves outside of every middleware: without rate limit and without CORS
    headers, so that a page would see a network error in its place.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; a defect is answered here and raised further, for the server's log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if not begun:
                await answer_to(error)(scope, receive, send)
            raise
