"""One page per failure: what happened, and what to do."""

from __future__ import annotations

import logging

from flask import Flask, request
from werkzeug.exceptions import HTTPException, SecurityError

from persona_dashboard.contexts import FailurePage
from persona_dashboard.doors import show
from persona_dashboard.folder import NoSuchEntry

log = logging.getLogger(__name__)

REASONS = {404: "missing", 405: "missing", 413: "too_large"}


def register(app: Flask) -> None:
    """Answer every failure with a page of ours."""
    app.register_error_handler(SecurityError, _wrong_host)
    app.register_error_handler(NoSuchEntry, _no_such_entry)
    app.register_error_handler(HTTPException, _http_failure)
    app.register_error_handler(500, _our_mistake)


def _no_such_entry(failure: NoSuchEntry) -> tuple[str, int]:
    return show("failure.html", FailurePage(status=404, reason="missing", detail=str(failure)), 404)


def _wrong_host(_failure: SecurityError) -> tuple[str, int, dict[str, str]]:
    """Plain text: building links for a host that is not ours would help whoever sent it."""
    text = (
        "This dashboard does not answer under that host name. Open it as http://127.0.0.1 with its port, "
        "or add the name to DASHBOARD_ALLOWED_HOSTS.\n"
    )
    return text, 400, {"Content-Type": "text/plain; charset=utf-8"}


def _http_failure(failure: HTTPException) -> tuple[str, int]:
    status = failure.code or 500
    reason = {"origin": "other_origin", "form": "old_form"}.get(failure.description or "", "") if status == 403 else ""
    context = FailurePage(status=status, reason=reason or REASONS.get(status, "refused"), detail=request.path)
    return show("failure.html", context, status)


def _our_mistake(failure: Exception) -> tuple[str, int]:
    log.error("%s failed", request.path, exc_info=getattr(failure, "original_exception", failure))
    return show("failure.html", FailurePage(status=500, reason="mistake", detail=request.path), 500)
