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
    topics = asked(memory().topics)
    return show("topics/index.html", TopicsPage(problem=topics.problem, topics=topics.value))


@blueprint.post("/refresh")
def refresh() -> ResponseReturnValue:
    """Have them found anew."""
    try:
        memory().refresh_topics()
    except ServiceProblem as problem:
        return show("topics/index.html", TopicsPage(problem=problem, topics=asked(memory().topics).value), 503)
    return redirect(url_for(".index", notice="topics_refreshing"), 303)
