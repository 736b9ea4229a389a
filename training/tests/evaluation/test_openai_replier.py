"""Any chat-completions server: what it is sent and what its errors mean."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from persona_training.evaluation.openai_replier import OpenAIReplier, OpenAIServer, OpenAIServerError, base_url
from persona_training.evaluation.replies import SERVED
from persona_training.messages import Message

Answer = Callable[[httpx.Request], httpx.Response]
HELLO = [Message(role="user", content="Hola")]


def server(answer: Answer, key: str = "") -> OpenAIServer:
    environ = {"OPENAI_BASE_URL": "http://her.test/v1", "OPENAI_API_KEY": key}
    return OpenAIServer(environ=environ, transport=httpx.MockTransport(answer))


def saying(text: object) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"role": "assistant", "content": text}}]})


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://h:1/", "http://h:1/v1"),
        ("https://h/openai/v1/", "https://h/openai/v1"),
        (None, "http://env:2/v1"),
    ],
)
def test_the_address(given: str | None, url: str) -> None:
    assert base_url(given, {"OPENAI_BASE_URL": "http://env:2/v1"}) == url


@pytest.mark.parametrize("given", ["", "ftp://h", "http://", "http://[::1"])
def test_no_address_is_guessed(given: str) -> None:
    with pytest.raises(OpenAIServerError, match=r"--host|http://host:port"):
        base_url(given, {})


def test_what_is_sent() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return saying("  Qué ilusión.  ")

    assert OpenAIReplier("her", server(answer, "key")).reply([HELLO], SERVED, 7) == ["Qué ilusión."]
    (request,) = seen
    body = json.loads(request.content)
    assert str(request.url) == "http://her.test/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer key"
    assert (body["model"], body["messages"], body["seed"], body["stream"]) == ("her", HELLO, 7, False)
    assert (body["temperature"], body["top_k"], body["max_tokens"]) == (0.9, 40, 64)
    assert body["repetition_penalty"] == body["repeat_penalty"] == 1.1


def test_replies_come_in_order_each_with_its_seed() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert "authorization" not in request.headers
        return saying(f"{body['messages'][-1]['content']} {body['seed']}")

    talks = [[Message(role="user", content=f"n{i}")] for i in range(20)]
    assert OpenAIReplier("her", server(answer)).reply(talks, SERVED, 100) == [f"n{i} {100 + i}" for i in range(20)]


def test_silence_is_an_empty_reply() -> None:
    assert OpenAIReplier("her", server(lambda _: saying(None))).reply([HELLO], SERVED, 1) == [""]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"type": "text", "text": "Qué "}, {"type": "text", "text": "noche."}], "Qué noche."),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"text": "Sí."}], "Sí."),
    ],
)
def test_the_text_parts_of_a_reply_are_joined(content: object, said: str) -> None:
    assert OpenAIReplier("her", server(lambda _: saying(content))).reply([HELLO], SERVED, 1) == [said]


@pytest.mark.parametrize(
    "content", [4, True, 0, {"text": "x"}, [], ["x"], [{"type": "text", "text": 4}], [{"type": "image_url"}]]
)
def test_what_is_no_text_is_not_taken_for_her_words(content: object) -> None:
    with pytest.raises(OpenAIServerError, match="where the words of a reply belong"):
        OpenAIReplier("her", server(lambda _: saying(content))).reply([HELLO], SERVED, 1)


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def slow(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("slow", request=request)


def torn(request: httpx.Request) -> httpx.Response:
    raise httpx.RemoteProtocolError("torn", request=request)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (away, "Nobody answers at http://her.test/v1"),
        (slow, "said nothing for too long"),
        (torn, "broke \\(RemoteProtocolError\\)"),
        (
            lambda _: httpx.Response(401, json={"error": {"message": "Invalid API key"}}),
            "Invalid API key.*OPENAI_API_KEY",
        ),
        (lambda _: httpx.Response(404, json={"detail": "Not Found"}), "Not Found \\(HTTP 404\\).*/v1/models"),
        (
            lambda _: httpx.Response(404, json={"object": "error", "message": "The model `x` does not exist."}),
            "does not",
        ),
        (lambda _: httpx.Response(429, json={"error": {"message": "Rate limit"}}), "run the gate again later"),
        (lambda _: httpx.Response(503, json={"error": {"code": 503, "message": "Loading model"}}), "still be loading"),
        (lambda _: httpx.Response(500, text="boom"), "boom \\(HTTP 500\\)"),
        (lambda _: httpx.Response(502), "no reason given"),
        (lambda _: httpx.Response(200, text="<html>"), "Is the /v1 right"),
        (lambda _: httpx.Response(200, text="[" * 100_000 + "]" * 100_000), "Is the /v1 right"),
        (lambda _: httpx.Response(500, text="[" * 100_000 + "]" * 100_000), "HTTP 500"),
        (lambda _: httpx.Response(200, json=[]), "does not answer like"),
        (lambda _: httpx.Response(200, json={"choices": []}), "does not answer like"),
        (lambda _: httpx.Response(400, json={"error": {"message": "maximum context length is 128"}}), "larger one"),
    ],
)
def test_errors_say_what_to_do(answer: Answer, words: str) -> None:
    with pytest.raises(OpenAIServerError, match=words):
        OpenAIReplier("her", server(answer)).reply([HELLO] * 9, SERVED, 1)


def test_the_oldest_turns_go_where_the_context_is_full() -> None:
    seen: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        said = [message["content"] for message in json.loads(request.content)["messages"]]
        seen.append(said)
        if len(said) > 2:
            body = {"error": {"code": 400, "type": "exceed_context_size_error", "message": "exceed_context_size_error"}}
            return httpx.Response(400, json=body)
        return saying("sí")

    talk = [
        Message(role="system", content="s"),
        Message(role="user", content="a"),
        Message(role="assistant", content="b"),
        Message(role="user", content="c"),
    ]
    assert OpenAIReplier("her", server(answer)).reply([talk], SERVED, 1) == ["sí"]
    assert seen == [["s", "a", "b", "c"], ["s", "b", "c"], ["s", "c"]]


def test_the_models_it_serves() -> None:
    listed = {"object": "list", "data": [{"id": "base"}, {"id": "her"}]}
    assert server(lambda _: httpx.Response(200, json=listed)).models() == ["base", "her"]
    with pytest.raises(OpenAIServerError, match="does not list"):
        server(lambda _: httpx.Response(200, json={"data": ["her"]})).models()
