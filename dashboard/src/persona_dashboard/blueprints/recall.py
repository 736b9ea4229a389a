"""Recall: ask a question for a viewer, and see what would be remembered and why."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from persona_dashboard.contexts import RecallPage
from persona_dashboard.doors import memory, show
from persona_dashboard.memory_client import Answer, ServiceRefused, asked, first_problem
from persona_dashboard.service_shapes import Recollection

blueprint = Blueprint("recall", __name__, url_prefix="/recall")

USUAL_LIMIT = 5
HIGHEST_LIMIT = 50


@blueprint.get("")
def index() -> ResponseReturnValue:
    """The question and its answer share one address, so that an answer can be linked to."""
    viewer = request.args.get("viewer", "").strip()
    question = request.args.get("question", "").strip()
    limit = min(max(request.args.get("limit", USUAL_LIMIT, type=int), 1), HIGHEST_LIMIT)
    sessions = asked(memory().sessions)
    nothing: Answer[Recollection] = Answer(None, None)
    answer = asked(lambda: memory().recall(viewer, question, limit)) if viewer and question else nothing
    refused = answer.problem if isinstance(answer.problem, ServiceRefused) else None
    context = RecallPage(
        problem=first_problem(sessions) if refused else first_problem(sessions, answer),
        viewer=viewer,
        question=question,
        limit=limit,
        viewers=sorted({session.user_id for session in sessions.value.items}) if sessions.value else [],
        recollection=answer.value,
        refusal=refused.detail if refused else "",
    )
    return show("recall/index.html", context)
