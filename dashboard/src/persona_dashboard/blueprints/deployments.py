"""Deployments: what is live, what was live, and the way back."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from persona_dashboard.contexts import DeploymentsPage
from persona_dashboard.deployment_log import read_log
from persona_dashboard.doors import doors, show, words

blueprint = Blueprint("deployments", __name__, url_prefix="/deployments")

LONGEST_LIST = 200
LONGEST_REASON = 500


@blueprint.get("")
def index() -> ResponseReturnValue:
    """What is live, and every change of it."""
    return _page()


@blueprint.post("/rollback")
def roll_back() -> ResponseReturnValue:
    """Make the version before live again."""
    name = request.form.get("name", "")
    known = {tag.name for tag in read_log(doors().runs.path).live() if tag.before}
    if name not in known:
        return _page(words()("deployments.nothing_before"), 409)
    if not doors().rollback.here:
        return _page(words()("deployments.by_hand"), 409)
    done = doors().rollback.run(name, " ".join(request.form.get("why", "").split())[:LONGEST_REASON])
    if done.refusal:
        return _page(done.refusal, 502, unchanged=done.unchanged)
    return redirect(url_for(".index", notice="rolled_back"), 303)


def _page(refusal: str = "", status: int = 200, *, unchanged: bool = True) -> ResponseReturnValue:
    log = read_log(doors().runs.path)
    context = DeploymentsPage(
        faults=(log.fault,) if log.fault else (),
        live_tags=log.live(),
        changes=list(log.changes[:LONGEST_LIST]),
        can_roll_back=doors().rollback.here,
        refusal=refusal,
        unchanged=unchanged,
    )
    return show("deployments/index.html", context, status)
