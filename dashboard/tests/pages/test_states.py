"""Every page in every state renders, says what it should, and keeps its head when a source misbehaves."""

from __future__ import annotations

import json
import shutil

import httpx
import pytest
from house import House
from places import ALL, DETAILS, LISTS, RUNNING, TRAINED
from seam_files import write_run

FULL = {
    "/": ["casiopy:week04", RUNNING, "Quality scores", "step 34 of 80", "Background worker"],
    "/core-memory": ["Rust es fascinante", "immutable", "System prompt"],
    "/interactions": ["60 in all", "marta_91", "kept out", "Older"],
    "/topics": ["Rust y compiladores", "12 interactions"],
    "/exports": ["personality-11aa22bb", "in the registry"],
    "/runs": ["finished", "running", "42 %"],
    "/gate": ["passed", "not passed"],
    "/adapters": ["casiopy-tiny", "casiopy:week04", "live"],
    "/deployments": ["casiopy:week04", "Roll back to casiopy:personality", "a person, by command", "Gate overruled:"],
    "/interactions/int-3": ["Persona’s style", "un marcador", TRAINED],
    f"/gate/{TRAINED}": ["Hard fails", "[−0.010; +0.110]", "Whole report"],
    f"/adapters/{TRAINED}": ["48 interactions", "layer 2", "casiopy:week04"],
    f"/runs/{RUNNING}": ["Loss by step", "q_proj, v_proj", "casiopy-tiny"],
    ALL["ExportPage"]: ["the session opted out", "−19", "viewer_1", "Validation"],
    "/recall?viewer=marta_91&question=rust": ["place 1, score 0.710", "not found this way", "Context for the prompt"],
    "/recall": ["Ask something"],
}
EMPTY = {
    "/": "No conversations yet",
    "/core-memory": "The persona has no facts yet",
    "/interactions": "No conversations yet",
    "/recall?viewer=nadie&question=algo": "Nothing comes to mind",
    "/topics": "Topics need 20 embedded interactions",
    "/exports": "No dataset yet",
    "/runs": "No run yet",
    "/gate": "No report yet",
    "/adapters": "No version yet",
    "/deployments": "Nothing was deployed yet",
}
FILES_ALONE = {"/runs", "/gate", "/deployments", "/patterns", ALL["RunPage"], ALL["ReportPage"], ALL["ExportPage"]}
ASKS_SERVICE = set(ALL.values()) - FILES_ALONE


@pytest.mark.parametrize("address", FULL)
def test_full(full: House, address: str) -> None:
    answer = full.app.test_client().get(address)
    assert answer.status_code == 200
    missing = [words for words in FULL[address] if words not in answer.text]
    assert not missing
    assert 'role="alert"' not in answer.text


@pytest.mark.parametrize("address", EMPTY)
def test_empty(empty: House, address: str) -> None:
    answer = empty.app.test_client().get(address)
    assert answer.status_code == 200
    assert EMPTY[address] in answer.text
    assert 'role="alert"' not in answer.text


@pytest.mark.parametrize("address", ALL.values())
def test_down(down: House, address: str) -> None:
    answer = down.app.test_client().get(address)
    assert answer.status_code == 200
    assert ("Start it with “casiopy serve”, or" in answer.text) == (address in ASKS_SERVICE or address == "/patterns")


def test_files_tell_while_the_service_is_down(down: House) -> None:
    client = down.app.test_client()
    assert "personality-11aa22bb" in client.get("/exports").text
    assert "the session opted out" in client.get(ALL["ExportPage"]).text
    adapter = client.get(f"/adapters/{TRAINED}").text
    assert "48 interactions" in adapter
    assert "not passed" in adapter
    assert RUNNING in client.get("/").text


@pytest.mark.parametrize("address", DETAILS.values())
def test_details_of_nothing_are_missing(empty: House, address: str) -> None:
    answer = empty.app.test_client().get(address)
    assert answer.status_code == 404
    assert "Nothing stands at this address" in answer.text


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("garbage", "not as the memory service does"),
        ("hostile", "not as the memory service does"),
        ("refusing", "Missing or wrong key."),
    ],
)
@pytest.mark.parametrize("address", [*LISTS.values(), "/interactions/int-3", f"/adapters/{TRAINED}"])
def test_a_misbehaving_service_is_explained(full: House, address: str, mode: str, words: str) -> None:
    assert full.service
    full.service.mode = mode
    answer = full.app.test_client().get(address)
    if (mode, address) == ("refusing", "/interactions/int-3"):
        assert answer.status_code == 200
    assert answer.status_code == 200
    assert (words in answer.text) == (address in ASKS_SERVICE)


def test_a_slow_service_is_asked_once_per_page(full: House) -> None:
    assert full.service
    full.service.mode = "slow"
    asked: list[httpx.Request] = []
    http = full.app.extensions["persona_dashboard"].http
    http.timeout = httpx.Timeout(0.2, connect=60)
    http.event_hooks = {"request": [asked.append]}
    answer = full.app.test_client().get("/")
    assert answer.status_code == 200
    assert "takes too long to answer" in answer.text
    assert [request.method for request in asked] == ["GET"]


def test_erased_data_is_marked(full: House) -> None:
    assert full.service
    client = full.app.test_client()
    assert "erased data inside" not in client.get("/adapters").text + client.get("/exports").text
    full.service.store.exports[0]["tainted_at"] = "2026-02-01T10:00:00Z"
    full.service.store.adapters[1]["tainted_at"] = "2026-02-01T10:00:00Z"
    for address in ("/adapters", "/exports", f"/adapters/{TRAINED}"):
        assert client.get(address).text.count("erased data inside") == 1


def test_an_adapter_that_learned_from_a_bare_file(full: House) -> None:
    path = full.adapters / TRAINED / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["dataset"]["export_id"] = None
    manifest["replay"][0]["export_id"] = "week_04.jsonl"
    manifest["parent"] = None
    path.write_text(json.dumps(manifest), encoding="utf-8")
    client = full.app.test_client()
    for address in ("/adapters", f"/adapters/{TRAINED}", f"/runs/{TRAINED}"):
        text = client.get(address).text
        assert 'href="/exports/week_04.jsonl"' not in text
        assert "None" not in text
    assert "a bare file" in client.get(f"/runs/{TRAINED}").text


def test_a_dataset_only_the_service_has_is_shown_from_there(full: House) -> None:
    shutil.rmtree(full.exports)
    text = full.app.test_client().get(ALL["ExportPage"]).text
    assert "the session opted out" in text
    assert "desde el servicio" in text


def test_long_reports_fold_their_least_changed_replies(full: House) -> None:
    path = full.adapters / TRAINED / "summary.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["replies"] = [{**report["replies"][0], "probe": f"p{n}"} for n in range(30)]
    path.write_text(json.dumps(report), encoding="utf-8")
    text = full.app.test_client().get(f"/gate/{TRAINED}").text
    assert "18 more" in text
    assert text.count('class="side-by-side"') == 30
    assert text.count("<details") == text.count("</details>")


def test_a_report_says_whom_she_was_held_against_and_what_was_not_measured(full: House) -> None:
    text = full.app.test_client().get(f"/gate/{TRAINED}").text
    for words in (
        "casiopy:week01",
        "Golden",
        "Hand-written",
        "12 dialogues",
        "no dataset is here",
        "About 2 more samples",
    ):
        assert words in text
    assert text.count('class="held"') == 4


def test_an_older_report_is_still_read_by_its_old_name(full: House) -> None:
    path = full.adapters / TRAINED / "summary.json"
    path.rename(path.with_name("report.json"))
    client = full.app.test_client()
    assert f"/gate/{TRAINED}" in client.get("/gate").text
    assert "casiopy:week04" in client.get(f"/gate/{TRAINED}").text


def test_a_stray_reply_that_a_rule_tolerates_is_no_hard_fail(full: House) -> None:
    path = full.adapters / TRAINED / "summary.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["hard_fails"] = [{"rule": rule, "probe": "p1", "reply": f"{rule}!"} for rule in ("canary", "looping")]
    report["hard_rules"] = [{"rule": "canary", "broken": True}, {"rule": "looping", "broken": False}]
    path.write_text(json.dumps(report), encoding="utf-8")
    text = full.app.test_client().get(f"/gate/{TRAINED}").text
    assert "canary!" in text
    assert "looping!" not in text


def test_damaged_files_are_named_and_the_rest_is_shown(full: House) -> None:
    (full.adapters / TRAINED / "summary.json").write_text('{"verdict": "pass"', encoding="utf-8")
    (full.exports / ALL["ExportPage"].rpartition("/")[2] / "manifest.json").write_text("[]", encoding="utf-8")
    (full.adapters / RUNNING / "run.json").write_text('{"status": 7}', encoding="utf-8")
    client = full.app.test_client()
    gate = client.get("/gate").text
    assert f"{TRAINED}/summary.json" in gate
    assert "personality-20260126T100000" in gate
    assert "manifest.json" in client.get("/exports").text
    assert "personality-11aa22bb" in client.get("/exports").text
    assert "run.json" in client.get("/runs").text
    for address in (f"/gate/{TRAINED}", ALL["ExportPage"], f"/runs/{RUNNING}", "/adapters"):
        assert client.get(address).status_code == 200


def test_a_queued_run_says_whom_it_waits_for(full: House) -> None:
    waiting_for = {"device": "GPU 0 (NVIDIA H200)", "adapter_id": TRAINED, "since": "2026-01-31T18:15:02Z"}
    write_run(full.adapters, RUNNING, "queued", 0, waiting_for=waiting_for)
    page = full.app.test_client().get(f"/runs/{RUNNING}").text
    assert "queued" in page
    assert "It begins by itself when GPU 0 (NVIDIA H200) is free" in page
    assert f'href="/runs/{TRAINED}"' in page
    assert "queued" in full.app.test_client().get("/").text
