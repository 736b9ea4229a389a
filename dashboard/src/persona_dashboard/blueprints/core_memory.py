"""Core memory: who the persona is. Immutable entries are shown, never offered for change."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from persona_dashboard.contexts import CoreMemoryPage
from persona_dashboard.doors import memory, show
from persona_dashboard.memory_client import ServiceProblem, ServiceRefused, asked, first_problem
from persona_dashboard.service_shapes import CoreMemoryEntry

blueprint = Blueprint("core_memory", __name__, url_prefix="/core-memory")


@blueprint.get("")
def index() -> ResponseReturnValue:
    """Entries by category, the form to add one, and the generated system prompt."""
    return _page()


@blueprint.post("")
def add() -> ResponseReturnValue:
    """Add an entry."""
    form = request.form
    try:
        memory().add_core_memory(
            form.get("category", "").strip(),
            form.get("key", "").strip(),
            form.get("value", "").strip(),
            form.get("is_mutable") == "yes",
        )
    except ServiceProblem as problem:
        return _page(problem, {name: form.get(name, "") for name in ("category", "key", "value", "is_mutable")})
    return redirect(url_for(".index", notice="core_memory_added"), 303)


@blueprint.post("/<entry_id>/edit")
def edit(entry_id: str) -> ResponseReturnValue:
    """Change a mutable entry."""
    value = request.form.get("value", "").strip()
    try:
        memory().edit_core_memory(entry_id, value)
    except ServiceProblem as problem:
        return _page(problem, {"id": entry_id, "edited": value})
    return redirect(url_for(".index", notice="core_memory_edited"), 303)


@blueprint.post("/<entry_id>/delete")
def delete(entry_id: str) -> ResponseReturnValue:
    """Delete a mutable entry."""
    try:
        memory().delete_core_memory(entry_id)
    except ServiceProblem as problem:
        return _page(problem)
    return redirect(url_for(".index", notice="core_memory_deleted"), 303)


def _page(refused: ServiceProblem | None = None, draft: dict[str, str] | None = None) -> ResponseReturnValue:
    entries = asked(memory().core_memory)
    prompt = asked(memory().system_prompt)
    said_no = isinstance(refused, ServiceRefused)
    context = CoreMemoryPage(
        problem=None if said_no else refused or first_problem(entries, prompt),
        categories=None if entries.value is None else _by_category(entries.value),
        prompt=prompt.value,
        refusal=refused.detail if refused else "",
        immutable_refused=isinstance(refused, ServiceRefused) and refused.error == "immutable_core_memory",
        draft=draft or {},
    )
    status = refused.status if isinstance(refused, ServiceRefused) else 503 if refused else 200
    return show("core_memory/index.html", context, status)


def _by_category(entries: list[CoreMemoryEntry]) -> dict[str, list[CoreMemoryEntry]]:
    categories: dict[str, list[CoreMemoryEntry]] = {}
    for entry in entries:
        categories.setdefault(entry.category, []).append(entry)
    return categories
