"""What can be changed from the dashboard, and what is refused kindly."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from house import House


def post(client: FlaskClient, page: str, address: str, **fields: str) -> tuple[int, str]:
    """Send a form the way a browser does: with the token of the page it stands on."""
    token = re.search(r'name="form_token" value="([^"]+)"', client.get(page).text)
    assert token
    answer = client.post(address, data={"form_token": token[1], **fields}, follow_redirects=True)
    return answer.status_code, answer.text


def test_core_memory_is_added_edited_and_deleted(full: House) -> None:
    assert full.service
    client, facts = full.app.test_client(), full.service.store.core_memory
    fields = {"category": "like", "key": "rain", "value": "La lluvia.", "is_mutable": "yes"}
    status, text = post(client, "/core-memory", "/core-memory", **fields)
    assert (status, facts[-1]["value"], facts[-1]["is_mutable"]) == (200, "La lluvia.", True)
    assert "Added to core memory." in text
    post(client, "/core-memory", "/core-memory/core-3/edit", value="Rust, y nada más.")
    assert facts[2]["value"] == "Rust, y nada más."
    status, text = post(client, "/core-memory", "/core-memory/core-4/delete")
    assert "Deleted from core memory." in text
    assert [fact["id"] for fact in facts] == ["core-1", "core-2", "core-3", "core-5"]


def test_an_entry_is_immutable_unless_ticked(full: House) -> None:
    assert full.service
    post(full.app.test_client(), "/core-memory", "/core-memory", category="goal", key="k", value="v")
    assert full.service.store.core_memory[-1]["is_mutable"] is False


def test_immutable_is_refused_kindly(full: House) -> None:
    client = full.app.test_client()
    status, text = post(client, "/core-memory", "/core-memory/core-1/edit", value="Otra")
    assert status == 409
    assert "This fact is immutable, so it stays as it is." in text
    assert "Casiopy" in text
    assert "/core-memory/core-1/edit" not in client.get("/core-memory").text, "immutable entries offer no change"


def test_a_refused_form_keeps_what_was_typed(full: House) -> None:
    fields = {"category": "like", "key": "name", "value": "algo largo que no quiero repetir"}
    status, text = post(full.app.test_client(), "/core-memory", "/core-memory", **fields)
    assert status == 409
    assert "This key exists already" in text
    assert "algo largo que no quiero repetir" in text


def test_rating_and_quality(full: House) -> None:
    assert full.service
    client, store = full.app.test_client(), full.service.store
    page = "/interactions/int-0"
    status, text = post(client, page, f"{page}/feedback", rating="5", comment="Muy ella", corrected_output="")
    assert (status, store.feedback[-1]["rating"]) == (200, 5)
    assert "Muy ella" in text
    post(client, page, f"{page}/quality", quality_score="0,85")
    assert store.interactions[0]["quality_score"] == 0.85
    assert "set by a person" in client.get(page).text


@pytest.mark.parametrize(
    ("part", "fields"),
    [("quality", {"quality_score": wrong}) for wrong in ("2", "-0.1", "nan", "mucho", "")]
    + [("feedback", {"rating": wrong}) for wrong in ("0", "6", "cinco", "")],
)
def test_wrong_values_are_refused_and_change_nothing(full: House, part: str, fields: dict[str, str]) -> None:
    assert full.service
    page = "/interactions/int-0"
    status, text = post(full.app.test_client(), page, f"{page}/{part}", **fields)
    assert status == 400
    assert "That was not accepted." in text
    assert full.service.store.interactions[0]["quality_score"] == 0.91
    assert not full.service.store.feedback


def test_topics_are_refreshed(full: House) -> None:
    assert full.service
    _, text = post(full.app.test_client(), "/topics", "/topics/refresh")
    assert full.service.store.refreshed == 1
    assert "found anew" in text


def test_forms_say_so_when_the_service_is_down(down: House) -> None:
    fields = {"category": "like", "key": "rain", "value": "La lluvia."}
    status, text = post(down.app.test_client(), "/core-memory", "/core-memory", **fields)
    assert status == 503
    assert "casiopy serve" in text
    assert "La lluvia." in text


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ("user_id=nube", "nube", "marta_91"),
        ("min_quality=0.8", "0.91", "0.12"),
        ("max_quality=0,5", "0.12", "0.91"),
        ("dropped=true", "elpixelado", "marta_91"),
        ("dropped=false", "marta_91", "0.12"),
        ("session_id=ses-0", "3 in all", "60 in all"),
        ("min_quality=lots", "no valid value: min_quality", "none"),
    ],
)
def test_filters(full: House, query: str, shown: str, hidden: str) -> None:
    text = full.app.test_client().get(f"/interactions?{query}").text
    main = text[text.index('<p class="quiet">') :] if "no valid" not in shown else text
    assert shown in main
    assert hidden == "none" or hidden not in main


def test_older_pages_keep_the_filters(full: House) -> None:
    client = full.app.test_client()
    first = client.get("/interactions?min_quality=0.1").text
    older = re.search(r'href="(/interactions\?[^"]+)" rel="next"', first)
    assert older
    second = client.get(older[1].replace("&amp;", "&")).text
    assert 'value="0.1"' in second
    assert 'rel="next"' in second
    assert "int-0" in first
    assert "int-0&" not in second
    assert '/interactions/int-25"' in second
