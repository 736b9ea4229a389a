"""/metrics counts requests by route, and names nobody."""

import httpx
import pytest
from memory_service import __version__
from memory_service.app import create_app
from memory_service.metrics import EXTRACTIONS, Metrics
from memory_service.settings import Settings
from prometheus_client.parser import text_string_to_metric_families as parse


async def _samples(http: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = (await http.get("/metrics")).raise_for_status()
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(answer.text)
        for sample in family.samples
    }


def _labels(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


async def test_requests_are_counted_by_template_and_status(client: httpx.AsyncClient) -> None:
    await client.post("/api/v1/sessions", json={"user_id": "ana-la-secreta"})
    await client.post("/sessions", json={"user_id": "ana-la-secreta"})
    await client.get("/sessions/01a1fc30-7bd7-76f0-a8e0-2b71b539e9e4")
    await client.get("/sessions/01a1fc30-7bd7-76f0-a8e0-2b71b539e9e5")
    for method, path in (("GET", "/made/up"), ("GET", "/made/up/too"), ("BREW", "/coffee"), ("STEEP", "/tea")):
        await client.request(method, path)
    await client.get("/sessions", headers={"host": "evil.example"})
    samples = await _samples(client)
    counted = "casiopy_http_requests_total"
    expected = {
        ("POST", "/sessions", "201"): 2,
        ("GET", "/sessions/{session_id}", "404"): 2,
        ("GET", "none", "404"): 2,
        ("other", "none", "404"): 2,
        ("GET", "none", "403"): 1,
    }
    found = {key: samples[counted, _labels(method=key[0], route=key[1], status=key[2])] for key in expected}
    assert found == expected
    assert samples["casiopy_http_request_seconds_count", _labels(method="POST", route="/sessions")] == 2
    assert 0 < samples["casiopy_http_request_seconds_sum", _labels(method="POST", route="/sessions")] < 60
    assert samples["casiopy_build_info", _labels(version=__version__)] == 1


async def test_nobody_is_named(client: httpx.AsyncClient, owner: str) -> None:
    await client.post("/sessions", json={"user_id": "ana-la-secreta"}, headers={"X-API-Key": "aimsk_live_x"})
    await client.post("/sessions", json={"user_id": "ana-la-secreta"})
    await client.get("/users/ana-la-secreta")
    shown = (await client.get("/metrics")).text
    assert not [name for name in ("ana-la-secreta", owner, "aimsk") if name in shown]


async def test_a_defect_counts_as_500(settings: Settings, migrated_url: str) -> None:
    app = create_app(settings, migrated_url)

    @app.get("/defect")
    async def _defect() -> None:
        raise ZeroDivisionError

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        await http.get("/defect")
        samples = await _samples(http)
    assert samples["casiopy_http_requests_total", _labels(method="GET", route="/defect", status="500")] == 1


@pytest.mark.parametrize("outcome", ["learned", "nothing"])
async def test_extractions_are_counted_for_the_process(client: httpx.AsyncClient, outcome: str) -> None:
    labels = {"extractor": "rules", "outcome": outcome}
    before = (await _samples(client)).get(("casiopy_extractions_total", _labels(**labels)), 0)
    EXTRACTIONS.labels(**labels).inc()
    assert (await _samples(client))["casiopy_extractions_total", _labels(**labels)] == before + 1


def test_applications_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.answered("GET", "/x", 200, 0.1)
    labels = {"method": "GET", "route": "/x", "status": "200"}
    assert one.registry.get_sample_value("casiopy_http_requests_total", labels) == 1
    assert two.registry.get_sample_value("casiopy_http_requests_total", labels) is None
