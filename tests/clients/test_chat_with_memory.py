"""The Genkit chat's document: its curl line, every endpoint it lists, its key, its limits, memory that survives restarts."""

import subprocess
from pathlib import Path

import httpx
import pytest
from memory_service.llm.stand_in import StandIn
from pages import KEY
from running import Service, running_service

# As printed, three blanks included.
LINE = """curl -X POST http://127.0.0.1:8000/chat   -H "Content-Type: application/json"   -H "X-API-Key: mi-clave-api-privada"   -d '{"prompt":"Hola, me llamo Antonio"}'"""  # noqa: E501


@pytest.fixture
def api(five_doors: Service) -> httpx.Client:
    return httpx.Client(base_url=five_doors.url, headers={"X-API-Key": KEY}, timeout=30)


def test_the_line_as_printed(five_doors: Service) -> None:
    command = LINE.replace("http://127.0.0.1:8000", five_doors.url).replace("curl", "curl -s")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    answer = httpx.Response(200, text=done.stdout).json()
    assert answer["response"]
    assert answer["session_id"]


def test_every_endpoint_of_the_list(api: httpx.Client) -> None:
    session = api.post("/sessions/new").json()["session_id"]
    assert session in {one["session_id"] for one in api.get("/sessions", params={"limit": 500}).json()["items"]}
    assert api.get(f"/sessions/{session}").json()["session_id"] == session
    asked = {"prompt": "Hola, me llamo Antonio", "session_id": session}
    assert api.post("/chat", json=asked).json()["session_id"] == session

    assert api.put(f"/sessions/{session}/summary", json={"summary": "Antonio saluda."}).is_success
    assert api.get(f"/sessions/{session}/summary").json()["summary"] == "Antonio saluda."
    assert api.post(f"/sessions/{session}/summary/reset").is_success
    assert api.get(f"/sessions/{session}/summary").json()["summary"] == ""

    memory = {
        "profile": {"name": "Antonio"},
        "preferences": {"idioma": "es"},
        "facts": ["Tiene un gato"],
        "todos": ["Pan"],
    }
    assert api.get(f"/sessions/{session}/memory").json()["profile"] == {"name": "Antonio"}
    assert api.put(f"/sessions/{session}/memory", json=memory).is_success
    assert api.get(f"/sessions/{session}/memory").json() == memory
    assert api.post(f"/sessions/{session}/memory/reset").is_success
    assert api.get(f"/sessions/{session}/memory").json() == {"profile": {}, "preferences": {}, "facts": [], "todos": []}

    assert api.post(f"/sessions/{session}/reset").is_success
    assert api.get(f"/history/{session}").json()["total_mensajes"] == 0
    assert api.delete(f"/sessions/{session}").is_success
    assert api.get(f"/sessions/{session}").status_code == 404


@pytest.mark.parametrize(("method", "path"), [("POST", "/chat"), ("GET", "/sessions"), ("POST", "/sessions/new")])
def test_every_endpoint_wants_the_key(five_doors: Service, method: str, path: str) -> None:
    answer = httpx.request(method, f"{five_doors.url}{path}", json={"prompt": "Hola"}, timeout=30)
    assert answer.status_code == 401


@pytest.mark.parametrize("session_id", ["../etc", "a b", "ñ", "x" * 129, "-x", ""])
def test_session_ids_are_checked(api: httpx.Client, session_id: str) -> None:
    assert api.post("/chat", json={"prompt": "Hola", "session_id": session_id}).status_code == 400


def test_the_prompt_has_a_longest_length(api: httpx.Client) -> None:
    assert api.post("/chat", json={"prompt": "a" * 4000}).is_success
    answer = api.post("/chat", json={"prompt": "a" * 4001})
    assert answer.status_code == 400
    assert "MAX_PROMPT_CHARS" in answer.json()["detail"]


def test_memory_survives_a_restart_and_no_model_is_said(
    tmp_path_factory: pytest.TempPathFactory, model: StandIn
) -> None:
    folder = Path(tmp_path_factory.mktemp("restart"))
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    with (
        running_service(folder, OLLAMA_HOST=model.url, LLM_MODEL="casiopy:live") as service,
        httpx.Client(base_url=service.url, timeout=30) as api,
    ):
        session = api.post("/chat", json={"prompt": "Hola, me llamo Antonio"}).json()["session_id"]
        api.put(f"/sessions/{session}/summary", json={"summary": "Antonio saluda."}).raise_for_status()
    with running_service(folder, LLM_MODEL="") as service, httpx.Client(base_url=service.url, timeout=30) as api:
        assert api.get(f"/sessions/{session}/summary").json()["summary"] == "Antonio saluda."
        assert api.get(f"/sessions/{session}/memory").json()["profile"] == {"name": "Antonio"}
        assert api.get(f"/history/{session}").json()["total_mensajes"] == 2
        refused = api.post("/chat", json={"prompt": "¿Cómo me llamo?", "session_id": session})
        assert (refused.status_code, refused.json()["error"]) == (503, "no_model")
        assert "LLM_MODEL" in refused.json()["detail"]
