"""Casiopy's own document: every request it prints, with and without the prefix, and its Python."""

import subprocess
import sys

import httpx
import pytest
from pages import KEY
from running import Service


@pytest.mark.parametrize("prefix", ["", "/api/v1"])
def test_every_printed_request(five_doors: Service, prefix: str) -> None:
    api = httpx.Client(base_url=f"{five_doors.url}{prefix}", headers={"X-API-Key": KEY}, timeout=30)
    assert api.get("/core-memory").is_success
    assert api.get("/core-memory/like").is_success
    assert api.get("/core-memory/system-prompt/generate").json()["system_prompt"]
    key = f"language_rust_of_a_client{prefix.replace('/', '_')}"
    entry = {"category": "like", "key": key, "value": "Rust es fascinante", "is_mutable": False}
    assert api.post("/core-memory", json=entry).json()["key"] == key

    session = api.post("/sessions", json={"user_id": "user123", "opt_out_training": False}).json()["session_id"]
    exchange = {
        "session_id": session,
        "input_text": "Hola Casiopy",
        "output_text": "*suspiro* Hola... qué necesitas?",
        "input_emotion": "neutral",
        "output_emotion": "sarcastic",
    }
    stored = api.post("/interactions", json=exchange).json()
    assert stored["interaction_id"]
    rated = api.put(f"/interactions/{stored['interaction_id']}/quality", json={"quality_score": 0.85})
    assert rated.json()["quality_score"] == 0.85
    ready = api.get("/interactions/training-ready", params={"min_quality": 0.6}).json()
    assert stored["id"] in {one["id"] for one in ready["items"]}
    assert api.post(f"/sessions/{session}/end").json()["ended_at"]
    assert api.get("/stats").is_success
    assert api.get("/health").is_success


def test_its_python(five_doors: Service) -> None:
    program = """
import httpx
session_id = httpx.post("http://localhost:8820/sessions", json={"user_id": "u"}, headers=KEY).json()["session_id"]
user_input, casiopy_response, detected_emotion = "Hola", "*suspiro* Hola, mortal.", "neutral"
response = httpx.post("http://localhost:8820/interactions", headers=KEY, json={
    "session_id": session_id,
    "input_text": user_input,
    "output_text": casiopy_response,
    "input_emotion": detected_emotion,
    "output_emotion": "sarcastic",
    "model_version": "hermes-3-week-05"
})
print(response.json()["model_version"])
"""
    program = program.replace("http://localhost:8820", five_doors.url)
    program = program.replace("headers=KEY", f"headers={{'X-API-Key': '{KEY}'}}")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "hermes-3-week-05"
