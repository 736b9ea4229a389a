"""Plays the conversation service: posts the sample month over HTTP, exchange by exchange, as a chat front end would."""

from collections.abc import Callable, Iterator
from itertools import groupby

import httpx

from casiopy.demo.sample import SampleExchange

# What a conversation service knows when it posts; the sample's labels stay with us.
_POSTED = ("input_text", "output_text", "input_emotion", "output_emotion", "model_version", "occurred_at")


def sessions_of(sample: list[SampleExchange]) -> Iterator[tuple[str, list[SampleExchange]]]:
    """The sample's sessions in order, each with its exchanges."""
    ordered = sorted(sample, key=lambda exchange: (exchange.session, exchange.occurred_at))
    for session, exchanges in groupby(ordered, key=lambda exchange: exchange.session):
        yield session, list(exchanges)


def _post(client: httpx.Client, path: str, key: str, body: dict[str, object]) -> dict[str, object]:
    # The key makes a repeated post harmless: a demo that was interrupted here goes on without doubles.
    response = client.post(path, json=body, headers={"Idempotency-Key": f"sample-month-{key}"})
    response.raise_for_status()
    answer: dict[str, object] = response.json()
    return answer


def post_session(
    client: httpx.Client,
    session: str,
    exchanges: list[SampleExchange],
    told: Callable[[SampleExchange, dict[str, object]], None],
) -> str:
    """Open a session, post its exchanges, end it; returns the service's session id.

    `told` is called with each exchange and what the service answered.
    """
    first = exchanges[0]
    opening: dict[str, object] = {
        "user_id": first.user_id,
        "opt_out_training": first.opt_out_training,
        "started_at": _utc(first),
        "metadata": {"sample": session},
    }
    opened = _post(client, "/sessions", session, opening)
    session_id = str(opened["session_id"])
    for number, exchange in enumerate(exchanges):
        body: dict[str, object] = {name: getattr(exchange, name) for name in _POSTED} | {"session_id": session_id}
        body["occurred_at"] = _utc(exchange)
        told(exchange, _post(client, "/interactions", f"{session}-{number}", body))
    _post(client, f"/sessions/{session_id}/end", f"{session}-end", {})
    return session_id


def _utc(exchange: SampleExchange) -> str:
    return exchange.occurred_at.isoformat()
