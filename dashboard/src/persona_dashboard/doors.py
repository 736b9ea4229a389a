"""What a page may reach: the two doors to data, and the reader's language. One set per application, one client per request."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from flask import current_app, g, render_template, request

from persona_dashboard.contexts import PageContext
from persona_dashboard.export_store import ExportStore
from persona_dashboard.language import Numerals, Words, choose_language
from persona_dashboard.live import Streams
from persona_dashboard.memory_client import MemoryClient
from persona_dashboard.rollback_program import RollbackProgram
from persona_dashboard.run_store import RunStore

EXTENSION = "persona_dashboard"


@dataclass(frozen=True)
class Doors:
    """Kept by the application for its whole life."""

    http: httpx.Client
    exports: ExportStore
    runs: RunStore
    streams: Streams
    service_url: str
    rollback: RollbackProgram


def doors() -> Doors:
    """The application's doors."""
    opened = current_app.extensions[EXTENSION]
    assert isinstance(opened, Doors)  # noqa: S101 - put there by create_app
    return opened


def memory() -> MemoryClient:
    """The memory service, for this request."""
    if "memory" not in g:
        g.memory = MemoryClient(doors().http)
    client: MemoryClient = g.memory
    return client


def words() -> Words:
    """The reader's language."""
    if "words" not in g:
        g.words = Words(choose_language(request))
    chosen: Words = g.words
    return chosen


def numerals() -> Numerals:
    """Figures in the reader's language."""
    return Numerals(words().language)


def show(template: str, context: PageContext, status: int = 200) -> tuple[str, int]:
    """Render a page from its documented context; templates see it as `page`."""
    return render_template(template, page=context), status
