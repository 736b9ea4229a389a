"""Other people's text stays text, other people's pages stay out, and ids stay inside their folders."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from example_memory import ATTACK
from house import House, settings
from hypothesis import given
from hypothesis import strategies as st
from persona_dashboard import create_app
from persona_dashboard.folder import Folder, NoSuchEntry
from places import ALL, TRAINED
from seam_files import write_adapter

SECRET = "cas_live_this_is_secret"
FORMS = [
    "/core-memory",
    "/core-memory/core-3/edit",
    "/core-memory/core-3/delete",
    "/topics/refresh",
    "/interactions/int-0/feedback",
    "/interactions/int-0/quality",
]
WAYS_OUT = ["..", ".", "..%2f..%2fsecret", "%2e%2e", "a/../../secret", ".hidden", "x" * 200, "é", "a%00b"]


class Tags(HTMLParser):
    """Collects every script, image and inline handler of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str | None] = []
        self.images = 0
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.images += tag == "img"
        if tag == "script":
            self.scripts.append(dict(attrs).get("src"))
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]


@pytest.mark.parametrize(
    "address", [*ALL.values(), "/recall?viewer=nube&question=x", f"/recall?viewer={ATTACK}&question=x"]
)
def test_an_attack_is_shown_as_text(full: House, address: str) -> None:
    assert full.service
    full.service.store.core_memory[2]["value"] = ATTACK
    full.service.store.topics[0]["examples"] = [ATTACK]
    text = full.app.test_client().get(address).text
    tags = Tags()
    tags.feed(text)
    assert tags.scripts == ["/static/live.js"]
    assert tags.images == 0
    assert tags.handlers == []


@pytest.mark.parametrize("address", [*ALL.values(), "/nowhere", "/static/app.css"])
def test_headers(full: House, address: str) -> None:
    headers = full.app.test_client().get(address).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


def test_the_report_page_is_shut_in(full: House) -> None:
    answer = full.app.test_client().get(f"/gate/{TRAINED}/report.html")
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert "allow-scripts" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("host", "welcome"),
    [
        ("127.0.0.1:5000", True),
        ("localhost:5000", True),
        ("[::1]:5000", True),
        ("dash.lan", True),
        ("evil.example", False),
        ("evil.example:5000", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:5000", False),
    ],
)
def test_only_known_hosts(tmp_path: Path, host: str, welcome: bool) -> None:
    app = create_app(settings(tmp_path, tmp_path, dashboard_allowed_hosts="dash.lan"))
    answer = app.test_client().get("/patterns", headers={"Host": host})
    assert answer.status_code == (200 if welcome else 400)
    if not welcome:
        assert "DASHBOARD_ALLOWED_HOSTS" in answer.text


@pytest.mark.parametrize("address", FORMS)
@pytest.mark.parametrize("trick", ["no token", "wrong token", "no cookie", "other origin"])
def test_forms_need_their_token(full: House, address: str, trick: str) -> None:
    assert full.service
    client = full.app.test_client()
    token = re.search(r'name="form_token" value="([^"]+)"', client.get("/core-memory").text)
    assert token
    fields = {"form_token": token[1], "value": "x", "category": "x", "key": "x", "rating": "5", "quality_score": "1"}
    headers = {}
    if trick == "no token":
        del fields["form_token"]
    elif trick == "wrong token":
        fields["form_token"] = "x" * 43
    elif trick == "no cookie":
        client = full.app.test_client()
    else:
        headers["Origin"] = "http://evil.example"
    before = (len(full.service.store.core_memory), full.service.store.core_memory[2]["value"])
    answer = client.post(address, data=fields, headers=headers)
    assert answer.status_code == 403
    assert "Nothing was changed." in answer.text
    assert before == (len(full.service.store.core_memory), full.service.store.core_memory[2]["value"])
    assert not full.service.store.feedback
    assert full.service.store.refreshed == 0


def test_the_token_survives_a_restart(full: House) -> None:
    client = full.app.test_client()
    text = client.get("/core-memory").text
    cookie = client.get_cookie("casiopy_form")
    assert cookie
    again = create_app(settings(full.exports, full.adapters, full.service.url if full.service else "")).test_client()
    again.set_cookie("casiopy_form", cookie.value)
    assert f'value="{cookie.value}"' in text
    assert again.post("/topics/refresh", data={"form_token": cookie.value}).status_code == 303


@pytest.mark.parametrize(
    "identifier", ["..", ".", "..%2f..%2fsecret", "%2e%2e", "a/../../secret", ".hidden", "x" * 200, "é", "a%00b"]
)
@pytest.mark.parametrize("page", ["runs", "gate", "exports", "adapters"])
def test_no_way_out_of_the_folders(full: House, page: str, identifier: str) -> None:
    (full.adapters.parent / "secret").mkdir()
    (full.adapters.parent / "secret" / "manifest.json").write_text('{"secret": 1}', encoding="utf-8")
    answer = full.app.test_client().get(f"/{page}/{identifier}", follow_redirects=True)
    assert answer.status_code in {200, 404}
    assert "secret&#34;: 1" not in answer.text
    if answer.status_code == 200:
        assert answer.request.path in {"/", "/runs", "/gate", "/exports", "/adapters", "/runs/", "/gate/"}


@given(st.text(max_size=30))
def test_a_folder_never_leaves_itself(identifier: str) -> None:
    folder = Folder(Path("/srv/adapters"))
    try:
        path = folder.file(identifier, "manifest.json")
    except NoSuchEntry:
        return
    assert path.is_relative_to(Path("/srv/adapters").resolve() / identifier)


def test_a_link_out_of_the_folder_is_not_followed(full: House, tmp_path: Path) -> None:
    write_adapter(tmp_path / "elsewhere", "stolen", "personality-11aa22bb")
    (full.adapters / "linked").symlink_to(tmp_path / "elsewhere" / "stolen")
    assert full.app.test_client().get("/runs/linked").status_code == 404
    assert full.app.test_client().get("/runs").status_code == 200


def test_the_key_is_sent_and_never_shown(full: House) -> None:
    assert full.service
    app = create_app(settings(full.exports, full.adapters, full.service.url, api_key=SECRET))
    pages = [app.test_client().get(address) for address in ALL.values()]
    assert full.service.store.headers[-1]["Authorization"] == f"Bearer {SECRET}"
    full.service.mode = "refusing"
    pages += [app.test_client().get(address) for address in ALL.values()]
    assert not [page for page in pages if SECRET in page.text]
