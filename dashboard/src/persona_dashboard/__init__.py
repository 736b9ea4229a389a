"""Casiopy's dashboard: memory, datasets, runs, the gate and versions in a browser.

It keeps no data. It reads through two doors only: HTTP to the memory service, and the files under exports/ and
lora_adapters/. Start it with `casiopy dashboard`.
"""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Flask, Response, request

from persona_dashboard import errors
from persona_dashboard.blueprints import ALL
from persona_dashboard.doors import EXTENSION, Doors, doors, numerals, words
from persona_dashboard.export_store import ExportStore
from persona_dashboard.language import COOKIE, COOKIE_SECONDS, LANGUAGES
from persona_dashboard.live import Streams
from persona_dashboard.memory_client import open_http
from persona_dashboard.rollback_program import RollbackProgram
from persona_dashboard.run_store import RunStore
from persona_dashboard.security import CSRF_FIELD, form_token, protect
from persona_dashboard.settings import Settings

__version__ = "0.1.0"

# Forms carry one short text each; anything larger is a mistake.
LARGEST_FORM_BYTES = 256 * 1024


def create_app(settings: Settings) -> Flask:
    """Build the dashboard; nothing is asked of the memory service until a page is."""
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_FORM_BYTES)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions[EXTENSION] = Doors(
        http=open_http(settings),
        exports=ExportStore(settings.exports_dir),
        runs=RunStore(settings.lora_adapters_dir),
        streams=Streams(),
        service_url=settings.memory_service_url,
        rollback=RollbackProgram(
            settings.lora_adapters_dir,
            settings.memory_service_url,
            settings.api_key.get_secret_value() if settings.api_key else None,
        ),
    )
    protect(app, settings.trusted_hosts)
    for blueprint in ALL:
        app.register_blueprint(blueprint)
    errors.register(app)
    app.context_processor(_shell)
    app.after_request(_remember_language)
    return app


def _shell() -> dict[str, object]:
    """What base.html needs on every page beside the page's own context."""
    chosen = words()
    return {
        "t": chosen,
        "num": numerals(),
        "languages": [(code, name, _in_language(code)) for code, name in LANGUAGES.items()],
        "form_token": form_token,
        "form_field": CSRF_FIELD,
        "service_url": doors().service_url,
    }


def _in_language(code: str) -> str:
    """This page in another language; an answer to a form leads back to the page it came from."""
    if request.method != "GET":
        return f"?lang={code}"
    arguments = {name: value for name, value in request.args.items() if name not in {"lang", "notice"}}
    return "?" + urlencode({**arguments, "lang": code})


def _remember_language(response: Response) -> Response:
    wish = request.args.get("lang")
    if wish in LANGUAGES and request.cookies.get(COOKIE) != wish:
        response.set_cookie(COOKIE, wish, max_age=COOKIE_SECONDS, httponly=True, samesite="Lax")
    return response
