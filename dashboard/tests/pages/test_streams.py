"""Live runs over a real server: nothing is lost, streams end, and they never use up the server's threads."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import httpx
import pytest
from house import House, dashboard_process, free_port, served, wait_for
from persona_dashboard.live import MOST_STREAMS
from places import RUNNING, TRAINED
from seam_files import append_metrics, write_run


def events(response: httpx.Response) -> Iterator[tuple[str, str, str]]:
    """(name, id, data) of each event; keep-alive comments are left out."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if "event" in fields:
                yield fields["event"], fields["id"], fields["data"]
            fields = {}


def test_a_finished_run_is_told_whole_and_ends(full: House) -> None:
    with served(full.app) as url:
        text = httpx.get(f"{url}/runs/{TRAINED}/events", trust_env=False, timeout=60).text
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert names == ["metrics", "view", "end"]
    points = json.loads(next(line for line in text.splitlines() if line.startswith("data: "))[6:])
    assert [point["step"] for point in points] == list(range(1, 81))


def test_a_listener_that_comes_back_misses_nothing_and_hears_nothing_twice(full: House) -> None:
    steps: list[int] = []
    last = "0"
    with served(full.app) as url:
        for grown in (range(35, 50), range(50, 64), range(64, 81)):
            headers = {"Last-Event-ID": last} if steps else {}
            address = f"{url}/runs/{RUNNING}/events"
            with httpx.stream("GET", address, headers=headers, trust_env=False, timeout=60) as response:
                append_metrics(full.adapters, RUNNING, grown)
                for name, identifier, data in events(response):
                    if name == "metrics":
                        steps += [point["step"] for point in json.loads(data)]
                        last = identifier
                    if steps and steps[-1] == grown[-1]:
                        break
    assert steps == list(range(1, 81))
    assert int(last) == (full.adapters / RUNNING / "metrics.jsonl").stat().st_size


def test_the_stream_ends_with_the_run(full: House) -> None:
    with (
        served(full.app) as url,
        httpx.stream("GET", f"{url}/runs/{RUNNING}/events", trust_env=False, timeout=60) as response,
    ):
        heard = events(response)
        assert next(heard)[0] == "metrics"
        write_run(full.adapters, RUNNING, "finished", 80)
        assert [name for name, _, _ in heard][-1] == "end"


def test_too_many_streams_are_refused_and_pages_still_answer(full: House) -> None:
    streams = full.app.extensions["persona_dashboard"].streams
    with served(full.app) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        address = f"/runs/{RUNNING}/events"
        opened = [client.send(client.build_request("GET", address), stream=True) for _ in range(MOST_STREAMS)]
        refused = client.get(address)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert client.get(f"/runs/{RUNNING}/view").status_code == 200
        assert client.get("/healthz").json()["streams"] == {"open": MOST_STREAMS, "most": MOST_STREAMS}
        for response in opened:
            response.close()
        wait_for(lambda: streams.open == 0)
        assert client.get(f"/runs/{TRAINED}/events").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_address_and_leaves_at_once_even_while_it_is_followed(full: House, number: int) -> None:
    port = free_port()
    with dashboard_process(full, port) as process:
        address = f"http://127.0.0.1:{port}/runs/{RUNNING}/events"
        with httpx.stream("GET", address, trust_env=False, timeout=60) as response:
            assert next(events(response))[0] == "metrics"
            process.send_signal(number)
            assert process.wait(60) == 0
        told = process.stdout.read() if process.stdout else ""
    assert f"Dashboard: http://127.0.0.1:{port}" in told
    assert "still running" not in told, "waitress alone waits 5 s for the stream's thread, and then says this"
    assert "Traceback" not in told


def test_strange_positions_are_read_as_the_beginning(full: House) -> None:
    client = full.app.test_client()
    for position in ("-1", "x", "9" * 30, "1e3", ""):
        text = client.get(f"/runs/{TRAINED}/events", headers={"Last-Event-ID": position}).text
        assert '"step":1,' in text


def test_no_stream_of_nothing(full: House) -> None:
    assert full.app.test_client().get("/runs/nothing/events").status_code == 404
