"""The way back: one click in a real browser, through the real program, against a stand-in Ollama."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from house import House, Watched, served
from persona_dashboard.deployment_log import DeploymentLog, read_log
from persona_dashboard.rollback_program import RollbackProgram
from persona_training.ollama.stand_in import StandInOllama
from playwright.sync_api import expect
from seam_files import digest, live_change

BEFORE, NOW = "personality-20260126T100000", "episodic-2026-w04-20260126T110000"


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInOllama]:
    """Serves what the example files say is live, and what was before."""
    with StandInOllama() as server:
        for tag, model in (("latest", "casiopy:week04"), ("previous", "casiopy:personality")):
            server.models[f"casiopy:{tag}"] = {"digest": digest(model), "system": "", "template": ""}
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


def ask(client: FlaskClient, **fields: str) -> tuple[int, str]:
    """Send the rollback form the way a browser does."""
    token = re.search(r'name="form_token" value="([^"]+)"', client.get("/core-memory").text)
    assert token
    answer = client.post("/deployments/rollback", data={"form_token": token[1], **fields})
    return answer.status_code, answer.text


@pytest.mark.browser
def test_one_click_brings_the_version_before_back_and_a_second_one_undoes_it(
    full: House, watched: Watched, ollama: StandInOllama
) -> None:
    page = watched.page
    with served(full.app) as url:
        page.goto(f"{url}/deployments")
        button = page.get_by_role("button", name="Roll back to casiopy:personality")
        page.once("dialog", lambda dialog: dialog.dismiss())
        button.click()
        assert ollama.requests == []
        page.get_by_label("Why (kept on record)").fill("she was rude <b>")
        page.once("dialog", lambda dialog: dialog.accept())
        button.click()
        expect(page.get_by_text("Rolled back: the version before is live again.")).to_be_visible()
        expect(page.get_by_text("she was rude <b>")).to_be_visible()
        expect(page.get_by_role("cell", name="a person, here")).to_be_visible()
        assert ollama.digest_of("casiopy:latest") == digest("casiopy:personality")
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Roll back to casiopy:week04").click()
        expect(page.get_by_role("button", name="Roll back to casiopy:personality")).to_be_visible()
        assert ollama.digest_of("casiopy:latest") == digest("casiopy:week04")
    assert watched.complaints == []
    newest, back, *_ = read_log(full.adapters).changes
    assert [(change.event, change.by, change.why) for change in (newest, back)] == [
        ("rollback", "dashboard", None),
        ("rollback", "dashboard", "she was rude <b>"),
    ]


def test_what_the_program_says_is_shown_in_plain_words(full: House, ollama: StandInOllama) -> None:
    ollama.fail("copy", 500)
    lines = len(read_log(full.adapters).changes)
    status, text = ask(full.app.test_client(), name="casiopy")
    assert status == 502
    assert "Not rolled back; everything is as it was." in text
    assert "copy was made to fail (HTTP 500)" in text
    assert "Traceback" not in text
    assert len(read_log(full.adapters).changes) == lines


def test_ollama_away_is_said(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    status, text = ask(full.app.test_client(), name="casiopy")
    assert (status, "No Ollama answers at http://127.0.0.1:9" in text) == (502, True)


@pytest.mark.parametrize("name", ["", "nobody", "--help", "casiopy; rm -rf /"])
def test_only_what_is_live_can_be_rolled_back(full: House, ollama: StandInOllama, name: str) -> None:
    status, text = ask(full.app.test_client(), name=name)
    assert (status, "there is no way back" in text) == (409, True)
    assert ollama.requests == []


def test_another_page_cannot_roll_back(full: House, ollama: StandInOllama) -> None:
    client = full.app.test_client()
    assert client.post("/deployments/rollback", data={"name": "casiopy"}).status_code == 403
    client.get("/core-memory")
    answer = client.post("/deployments/rollback", data={"name": "casiopy"}, headers={"Origin": "http://evil.test"})
    assert answer.status_code == 403
    assert ollama.requests == []


def test_without_the_program_the_command_is_named(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona_dashboard.rollback_program.find_spec", lambda name: None)
    client = full.app.test_client()
    text = client.get("/deployments").text
    assert "casiopy deploy --rollback --name casiopy" in text
    assert "<button" not in text.split("<h2>casiopy:latest")[1]
    assert ask(client, name="casiopy")[0] == 409


def test_a_program_that_does_not_end_or_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = RollbackProgram(tmp_path, "http://127.0.0.1:9", "key")
    monkeypatch.setattr("persona_dashboard.rollback_program.SECONDS", 0.01)
    late = program.run("casiopy", "")
    assert (late.unchanged, "did not end within" in late.refusal) == (False, True)
    monkeypatch.setattr("persona_dashboard.rollback_program.sys.executable", str(tmp_path / "nothing"))
    assert "No such file" in program.run("casiopy", "").refusal


def test_a_damaged_line_is_named_and_the_rest_is_shown(full: House) -> None:
    with (full.adapters / "deployments.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"event": "deploy"}\n')
    live_change(full.adapters, NOW, "casiopy:week05", 9, replaced=digest("nothing known"))
    log = read_log(full.adapters)
    assert log.fault == "deployments.jsonl: line 3 cannot be read"
    (tag,) = log.live()
    assert (tag.now.tag, tag.before) == ("casiopy:week05", None)
    assert "there is no way back" in full.app.test_client().get("/deployments").text


def test_a_log_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "deployments.jsonl").mkdir()
    assert read_log(tmp_path).fault == "deployments.jsonl: Is a directory"
    assert read_log(tmp_path / "nowhere") == DeploymentLog()


def test_a_reason_may_hold_what_unicode_calls_the_end_of_a_line(tmp_path: Path) -> None:
    live_change(tmp_path, NOW, "casiopy:week05", 9, why="it\u2028stutters\x85")
    log = read_log(tmp_path)
    assert (log.fault, [change.why for change in log.changes]) == (None, ["it\u2028stutters\x85"])
