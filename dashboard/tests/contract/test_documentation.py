"""docs/dashboard.md says what is true: every page with its context, every setting, every address."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
from house import settings
from persona_dashboard import contexts, create_app
from persona_dashboard.contexts import PageContext
from persona_dashboard.settings import Settings
from places import ALL

PACKAGE = Path(contexts.__file__).parent
DOCUMENT = (Path(__file__).parents[3] / "docs" / "dashboard.md").read_text(encoding="utf-8")
CONTEXTS = [found for found in vars(contexts).values() if dataclasses.is_dataclass(found) and isinstance(found, type)]
OURS = [found for found in CONTEXTS if found.__module__ == contexts.__name__]


def explained(context: type) -> dict[str, str]:
    hints = get_type_hints(context, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items() if get_origin(hint) is Annotated}


@pytest.mark.parametrize("context", OURS)
def test_every_field_is_explained(context: type) -> None:
    assert context.__doc__
    assert set(explained(context)) == {field.name for field in dataclasses.fields(context)}


@pytest.mark.parametrize("context", OURS)
def test_the_document_repeats_the_explanations(context: type) -> None:
    inherited = explained(PageContext) if context is not PageContext and issubclass(context, PageContext) else {}
    for name, text in explained(context).items():
        assert name in inherited or f"| `{context.__name__}` | `{name}` | {text} |" in DOCUMENT


def test_every_page_has_a_context_and_every_context_a_page() -> None:
    pages = {found.__name__ for found in OURS if issubclass(found, PageContext)} - {"PageContext", "FailurePage"}
    assert pages == set(ALL)


def test_templates_use_only_what_their_context_has() -> None:
    known = {name for found in OURS for name in explained(found)}
    for path in (PACKAGE / "templates").rglob("*.html"):
        used = set(re.findall(r"\bpage\.([a-z_]+)", path.read_text(encoding="utf-8")))
        assert used - known == set(), path.name


def test_every_setting_is_documented() -> None:
    for name, field in Settings.model_fields.items():
        assert f"`{name.upper()}`" in DOCUMENT
        assert str(field.description) in DOCUMENT


def test_every_address_is_documented(tmp_path: Path) -> None:
    rules = create_app(settings(tmp_path, tmp_path)).url_map.iter_rules()
    addresses = {re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", rule.rule) for rule in rules} - {"/favicon.ico"}
    assert {address for address in addresses if f"`{address}`" not in DOCUMENT} == set()
