"""Topics: what people talk about."""

from __future__ import annotations

from flask import Blueprint, redirect, url_for
from flask.typing import ResponseReturnValue

from persona_dashboard.contexts import TopicsPage
from persona_dashboard.doors import memory, show
from persona_dashboard.memory_client import ServiceProblem, asked

blueprint = Blueprint("topics", __name__, url_prefix="/topics")


@blueprint.get("")
def index() -> ResponseReturnValue:
    """Themes, largest first."""
    return _page()


@blueprint.post("/refresh")
def refresh() -> ResponseReturnValue:
    """Have them found anew."""
    try:
        memory().refresh_topics()
    except ServiceProblem as problem:
        return _page(problem)
    return redirect(url_for(".index", notice="topics_refreshing"), 303)


def _page(refused: ServiceProblem | None = None) -> ResponseReturnValue:
    found = asked(memory().topics)
    context = TopicsPage(
        problem=refused or found.problem,
        topics=list(found.value.items) if found.value else None,
        note=found.value.note or "" if found.value else "",
    )
    return show("topics/index.html", context, 503 if refused else 200)
