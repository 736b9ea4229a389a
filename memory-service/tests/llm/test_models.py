"""The models over the wire: what is sent, what comes back, and every way in which a server can fail."""

import json
from collections.abc import Sequence

import pytest
from memory_service.llm.answers import shown
from memory_service.llm.choosing import ConfiguredModel
from memory_service.llm.model import Message, ModelAnswerUnusable, ModelUnavailable
from memory_service.llm.ollama_model import ollama_url
from memory_service.llm.stand_in import StandIn

from .conftest import WIRES, make_model

HELLO = [Message("system", "You are Casiopy."), Message("user", "¿Estás ahí?")]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "ages": {"type": "array", "items": {"type": "integer"}}},
    "required": ["name", "ages"],
    "additionalProperties": False,
}


async def heard(model: ConfiguredModel, messages: Sequence[Message] = HELLO) -> list[str]:
    """The pieces of a streamed answer."""
    return [piece async for piece in model.stream(messages)]


async def test_a_whole_answer(model: ConfiguredModel, server: StandIn) -> None:
    server.say("*suspiro* Hola, mortal.")
    reply = await model.reply(HELLO, max_tokens=77)
    assert reply.text == "*suspiro* Hola, mortal."
    assert reply.model == model.name
    assert reply.prompt_tokens == 8
    assert reply.completion_tokens == 7
    asked = server.requests[-1]
    assert asked.messages == [{"role": turn.role, "content": turn.content} for turn in HELLO]
    assert not asked.streamed
    assert "77" in json.dumps(asked.body)


async def test_a_streamed_answer(model: ConfiguredModel, server: StandIn) -> None:
    server.say("Uno, dos y tres.")
    assert await heard(model) == ["Uno, ", "dos ", "y ", "tres."]
    assert server.requests[-1].streamed


async def test_the_shape_is_sent_as_the_server_wants_it(model: ConfiguredModel, server: StandIn) -> None:
    reply = await model.reply(HELLO, schema=SCHEMA)
    assert json.loads(reply.text) == {"name": "", "ages": []}
    asked = server.requests[-1]
    assert asked.schema == SCHEMA
    if asked.wire != "ollama":
        assert asked.body["response_format"]["json_schema"]["strict"] is True


async def test_the_characters_own_sampling_is_left_alone(server: StandIn) -> None:
    model = make_model("ollama", server)
    await model.reply(HELLO)
    assert not server.requests[-1].body.get("options")
    await model.close()


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("<think>Un mortal. Qué pereza.</think>\n\nHola.", "Hola."),
        ("Un mortal. Qué pereza.</think>Hola.", "Hola."),
        ("<THINKING>a < b</THINKING> Hola <b>tú</b> <3", "Hola <b>tú</b> <3"),
    ],
)
async def test_thoughts_are_not_said(model: ConfiguredModel, server: StandIn, said: str, left: str) -> None:
    server.say(said, said)
    assert (await model.reply(HELLO)).text == left
    if "<" in said[:1]:
        assert "".join(await heard(model)) == left


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
async def test_an_error_status(model: ConfiguredModel, server: StandIn, status: int) -> None:
    server.fail("status", status=status, times=4)
    for asking in (model.reply(HELLO), heard(model)):
        with pytest.raises(ModelUnavailable, match=r"_URL|_HOST|_ENDPOINT") as caught:
            await asking
        assert caught.value.status == 503
        assert str(status) in caught.value.detail
    # At most one more try each, none in secret.
    assert len(server.requests) <= 4


async def test_a_model_that_is_not_there(server: StandIn) -> None:
    server.models = ["another"]
    for wire in WIRES:
        model = make_model(wire, server)
        with pytest.raises(ModelUnavailable, match="has no model"):
            await model.reply(HELLO)
        await model.close()


@pytest.mark.parametrize("said", ["", "  \n", "<think>…</think>", "<think>never ends"])
async def test_an_empty_answer(model: ConfiguredModel, server: StandIn, said: str) -> None:
    server.say(said, said)
    for asking in (model.reply(HELLO), heard(model)):
        with pytest.raises(ModelAnswerUnusable, match="empty") as caught:
            await asking
        assert caught.value.status == 502


async def test_a_refusal(server: StandIn) -> None:
    model = make_model("openai", server)
    server.fail("refusal")
    with pytest.raises(ModelAnswerUnusable, match="declined"):
        await model.reply(HELLO, schema=SCHEMA)
    await model.close()


async def test_something_else_listens_there(model: ConfiguredModel, server: StandIn) -> None:
    server.fail("page", times=2)
    for asking in (model.reply(HELLO), heard(model)):
        with pytest.raises(ModelUnavailable, match=r"does not answer like|broke off"):
            await asking


async def test_nobody_listens(model: ConfiguredModel, server: StandIn) -> None:
    server.stop()
    for asking in (model.reply(HELLO), heard(model)):
        with pytest.raises(ModelUnavailable, match="does not answer"):
            await asking
    server.start()
    assert (await model.reply(HELLO)).text


async def test_an_answer_that_breaks_off(model: ConfiguredModel, server: StandIn) -> None:
    server.fail("cut", times=2)
    with pytest.raises(ModelUnavailable):
        await model.reply(HELLO)
    server.forget()
    server.fail("cut", times=2)
    pieces: list[str] = []

    async def listen() -> None:
        async for piece in model.stream(HELLO):
            pieces.append(piece)

    with pytest.raises(ModelUnavailable):
        await listen()
    assert "".join(pieces) == "La mitad de una "


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_that_takes_too_long(server: StandIn, wire: str) -> None:
    model = make_model(wire, server, seconds=0.3)
    server.fail("hang", times=4)
    for asking in (model.reply(HELLO), heard(model)):
        with pytest.raises(ModelUnavailable, match="LLM_TIMEOUT_SECONDS"):
            await asking
    await model.close()


async def test_a_listener_that_goes_away_leaves_the_model_usable(model: ConfiguredModel, server: StandIn) -> None:
    stream = model.stream(HELLO)
    assert await anext(stream)
    await stream.aclose()
    server.say("Sigo aquí.")
    assert (await model.reply(HELLO)).text == "Sigo aquí."


async def test_asking_how_it_is(model: ConfiguredModel, server: StandIn) -> None:
    await model.check()
    assert server.requests == []
    server.stop()
    with pytest.raises(ModelUnavailable):
        await model.check()


async def test_asking_how_it_is_names_what_is_wrong(server: StandIn) -> None:
    server.models, server.api_key = ["another"], "right"
    ollama, openai = make_model("ollama", server), make_model("openai", server)
    with pytest.raises(ModelUnavailable, match="has no model 'casiopy:live'"):
        await ollama.check()
    with pytest.raises(ModelUnavailable, match="refuses the key"):
        await openai.check()
    await ollama.close()
    await openai.close()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost", "http://localhost:11434"),
        ("10.0.0.7:8080", "http://10.0.0.7:8080"),
        ("http://10.0.0.7", "http://10.0.0.7:80"),
        ("https://llm.example.org/ollama/", "https://llm.example.org:443/ollama"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("[::1]:11434", "http://[::1]:11434"),
    ],
)
def test_every_way_to_write_ollama_host(host: str, url: str) -> None:
    assert ollama_url(host) == url


def test_a_password_in_an_address_is_told_to_nobody() -> None:
    assert shown("https://me:secret@llm.example.org:8000/v1?key=s") == "https://llm.example.org:8000/v1"
