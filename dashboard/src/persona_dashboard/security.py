"""What keeps other web pages and other people's text from acting here: forms, headers, one origin."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, request
from werkzeug.exceptions import SecurityError

CSRF_COOKIE = "casiopy_form"
CSRF_FIELD = "form_token"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A report carries the persona's replies in a file that anybody may have handed over: it may look, not act.
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def form_token() -> str:
    """The token every form of this browser carries; it survives a restart of the dashboard because it is the cookie."""
    if "form_token" not in g:
        held = request.cookies.get(CSRF_COOKIE, "")
        g.form_token = held if len(held) >= 32 else secrets.token_urlsafe(32)
    return str(g.form_token)


def protect(app: Flask, trusted_hosts: Collection[str]) -> None:
    """Refuse unknown host names, check every form before it acts, and put the security headers on every answer."""

    def check_host() -> None:
        # Flask's TRUSTED_HOSTS cannot name IPv6 addresses.
        if urlsplit(f"//{request.host}").hostname not in trusted_hosts:
            raise SecurityError("unknown host")

    app.before_request(check_host)
    app.before_request(_check_form)
    app.after_request(_set_headers)


def _check_form() -> None:
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return
    origin = request.headers.get("Origin")
    if origin and origin != "null" and origin.rstrip("/") != request.host_url.rstrip("/"):
        abort(403, "origin")
    cookie = request.cookies.get(CSRF_COOKIE, "")
    if not cookie or not hmac.compare_digest(cookie.encode(), request.form.get(CSRF_FIELD, "").encode()):
        abort(403, "form")


def _set_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    if request.endpoint != "static":
        headers.setdefault("Cache-Control", "no-store")
    if "form_token" in g and request.cookies.get(CSRF_COOKIE) != g.form_token:
        response.set_cookie(CSRF_COOKIE, g.form_token, httponly=True, samesite="Strict")
    return response
