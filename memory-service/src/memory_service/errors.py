"""One error base and one JSON shape: `{"detail": what happened and what to do, "error": stable code}`."""

from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

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


class Unavailable(ServiceError):
    """A part the request needs does not answer."""

    status = 503
    code = "unavailable"


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
    if state in {"23514", "23502", "22001"}:
        return BadRequest(f"The database refused a value: {_first_line(error)}")
    if state in {"22021", "22P05"}:
        return BadRequest("Texts cannot contain the NUL character. Remove it and send the request again.")
    if state is None or state[:2] in {"08", "53", "57"} or isinstance(error, OperationalError):
        return Unavailable("The database does not answer. Check `GET /health` and the service's log, then try again.")
    return ServiceError("The database refused the request in a way the service does not know. See the service's log.")


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).splitlines()[0].split(">: ")[-1]


def _describe(problem: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in problem["loc"] if part not in {"body", "query", "path", "header"})
    what = str(problem["msg"]).removeprefix("Value error, ")
    return f"{path}: {what}" if path else what


def install_error_handlers(app: FastAPI) -> None:
    """Make every failure of `app` answer in the one shape; bad input is 400, never 422."""

    @app.exception_handler(ServiceError)
    async def _service(_: Request, error: ServiceError) -> JSONResponse:
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        detail = "; ".join(_describe(problem) for problem in error.errors())
        return JSONResponse({"detail": detail, "error": "invalid_request"}, 400)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "http_error")
        detail = "No such address. See /docs for all of them." if error.detail == "Not Found" else str(error.detail)
        return JSONResponse({"detail": detail, "error": code}, error.status_code, headers=error.headers)

    @app.exception_handler(DBAPIError)
    async def _database(_: Request, error: DBAPIError) -> JSONResponse:
        return error_response(from_database(error))

    # Starlette hands a defect on to the server's log, traceback and all, after this answer has left.
    @app.exception_handler(Exception)
    async def _defect(_: Request, error: Exception) -> JSONResponse:
        detail = f"The service has a defect ({type(error).__name__}). Its log has the details: please report them."
        return error_response(ServiceError(detail))

    async def _away(_: Request, _error: Exception) -> JSONResponse:
        return error_response(from_database(OperationalError("", {}, ConnectionError())))

    for away in (ConnectionError, PoolTimeout, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
        app.add_exception_handler(away, _away)
