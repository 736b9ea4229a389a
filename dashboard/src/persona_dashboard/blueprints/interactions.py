"""Interactions: what was said, how it was scored and why, and what learned from it."""

from __future__ import annotations

import math

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from persona_dashboard.contexts import InteractionPage, InteractionsPage
from persona_dashboard.doors import memory, show, words
from persona_dashboard.folder import NoSuchEntry
from persona_dashboard.lineage_links import interaction_chain
from persona_dashboard.memory_client import Answer, ServiceProblem, ServiceRefused, asked, first_problem
from persona_dashboard.service_shapes import Interaction

blueprint = Blueprint("interactions", __name__, url_prefix="/interactions")

FILTERS = ("session_id", "user_id", "min_quality", "max_quality", "dropped")
SCORES = ("min_quality", "max_quality")
PAGE_LENGTH = 25


@blueprint.get("")
def index() -> ResponseReturnValue:
    """The list with its filters."""
    typed = {name: value for name in FILTERS if (value := request.args.get(name, "").strip())}
    wrong = tuple(name for name, value in typed.items() if not _usable(name, value))
    question: dict[str, str | int | float] = {
        name: _figure(value) if name in SCORES else value for name, value in typed.items() if name not in wrong
    }
    question |= {"limit": PAGE_LENGTH, "order": "desc"}
    if cursor := request.args.get("cursor"):
        question["cursor"] = cursor
    found = asked(lambda: memory().interactions(question))
    context = InteractionsPage(
        problem=found.problem,
        filters=typed,
        wrong=wrong,
        interactions=found.value.items if found.value else None,
        total=found.value.total if found.value else None,
        next_cursor=found.value.next_cursor if found.value else None,
    )
    return show("interactions/index.html", context)


@blueprint.get("/<interaction_id>")
def detail(interaction_id: str) -> ResponseReturnValue:
    """One interaction."""
    return _page(interaction_id)


@blueprint.post("/<interaction_id>/feedback")
def rate(interaction_id: str) -> ResponseReturnValue:
    """Leave feedback."""
    form = request.form
    rating = int(form.get("rating", "0")) if form.get("rating", "").isdecimal() else 0
    try:
        memory().rate(interaction_id, rating, form.get("comment", "").strip(), form.get("corrected_output", "").strip())
    except ServiceProblem as problem:
        return _page(interaction_id, problem)
    return redirect(url_for(".detail", interaction_id=interaction_id, notice="rated"), 303)


@blueprint.post("/<interaction_id>/quality")
def set_quality(interaction_id: str) -> ResponseReturnValue:
    """Overrule the scorer."""
    typed = request.form.get("quality_score", "").strip()
    if not _usable("min_quality", typed):
        return _page(interaction_id, ServiceRefused(words()("quality.invalid"), 400, "bad_input"))
    try:
        memory().set_quality(interaction_id, _figure(typed))
    except ServiceProblem as problem:
        return _page(interaction_id, problem)
    return redirect(url_for(".detail", interaction_id=interaction_id, notice="quality_set"), 303)


def _page(interaction_id: str, refused: ServiceProblem | None = None) -> ResponseReturnValue:
    found = asked(lambda: memory().interaction(interaction_id))
    if _missing(found):
        raise NoSuchEntry(interaction_id)
    feedback = asked(lambda: memory().feedback(interaction_id))
    lineage = asked(lambda: memory().interaction_lineage(interaction_id))
    said_no = isinstance(refused, ServiceRefused)
    context = InteractionPage(
        problem=None if said_no else refused or first_problem(found, feedback, lineage),
        interaction=found.value,
        feedback=feedback.value,
        lineage=interaction_chain(lineage.value) if lineage.value else None,
        refusal=refused.detail if refused else "",
    )
    status = refused.status if isinstance(refused, ServiceRefused) else 503 if refused else 200
    return show("interactions/detail.html", context, status)


def _missing(found: Answer[Interaction]) -> bool:
    return isinstance(found.problem, ServiceRefused) and found.problem.status in {400, 404}


def _usable(name: str, value: str) -> bool:
    if name == "dropped":
        return value in {"true", "false"}
    if name in SCORES:
        figure = _figure(value)
        return math.isfinite(figure) and 0 <= figure <= 1
    return True


def _figure(text: str) -> float:
    """A number with a point or a comma; NaN when it is none."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan
