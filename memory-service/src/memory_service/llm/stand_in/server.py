"""The stand-in as a real HTTP server, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Self

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from memory_service.llm.stand_in.script import Asked, Failure, Json, Script, Wire
from memory_service.llm.stand_in.speech import speak
from memory_service.llm.stand_in.wires import error_body, no_tools, streamed, whole

_PAGE = "<!doctype html><title>Welcome</title><p>This is a router's login page."
_DECLINED = "I'm sorry, I can't help with that."
_MEDIA = {"ollama": "application/x-ndjson", "openai": "text/event-stream", "azure": "text/event-stream"}


class StandIn(Script):
    """A server on loopback that speaks OpenAI's, Azure's and Ollama's formats; a context manager.

    `url` is its root (OLLAMA_HOST, AZURE_OPENAI_ENDPOINT), `openai_url` what LLM_BASE_URL wants.
    """

    def __init__(self, port: int = 0, **script: Any) -> None:
        super().__init__(**script)
        self._app = stand_in_app(self)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._port = port
        self.start()

    @property
    def url(self) -> str:
        """Root of the server."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def openai_url(self) -> str:
        """Base URL of the OpenAI format."""
        return f"{self.url}/v1"

    def start(self) -> None:
        """Listen, on the same port as before where there was one."""
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(self._app, log_config=None, log_level="critical", access_log=False, lifespan="off")
        config.timeout_graceful_shutdown = 0
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="stand-in", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Go away: from now on connections are refused. `start` brings it back."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join()
            self._server = self._thread = None

    def __enter__(self) -> Self:
        """The running server."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


def stand_in_app(script: Script) -> FastAPI:
    """The application behind the server; for one in a process of its own, too."""
    app = FastAPI(title="Stand-in for a language model", openapi_url=None)

    @app.post("/v1/chat/completions")
    async def _openai(request: Request) -> Response:
        return await _chat(script, "openai", request, await request.json())

    @app.post("/openai/deployments/{deployment}/chat/completions")
    async def _azure(deployment: str, request: Request) -> Response:
        if "api-version" not in request.query_params:
            return JSONResponse({"error": {"code": "404", "message": "Resource not found"}}, 404)
        return await _chat(script, "azure", request, {**await request.json(), "model": deployment})

    @app.post("/api/chat")
    async def _ollama(request: Request) -> Response:
        return await _chat(script, "ollama", request, await request.json())

    @app.get("/v1/models")
    @app.get("/openai/models")
    async def _models(request: Request) -> Response:
        if not _key_fits(script, request):
            return JSONResponse(error_body("openai", 401, ""), 401)
        served = [{"id": name, "object": "model", "created": 0, "owned_by": "stand-in"} for name in script.models]
        return JSONResponse({"object": "list", "data": served})

    @app.get("/api/tags")
    async def _tags() -> Json:
        return {"models": [{"name": name, "model": name, "size": 0, "digest": "0" * 64} for name in script.models]}

    @app.get("/api/version")
    async def _version() -> Json:
        return {"version": "0.0.0-stand-in"}

    return app


def _key_fits(script: Script, request: Request) -> bool:
    presented = request.headers.get("api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
    return script.api_key is None or presented == script.api_key


async def _chat(script: Script, wire: Wire, request: Request, body: Json) -> Response:
    asked = Asked(wire, request.url.path, body, dict(request.headers))
    if wire != "ollama" and not _key_fits(script, request):
        return JSONResponse(error_body(wire, 401, asked.model), 401)
    if asked.model not in script.models:
        return JSONResponse(error_body(wire, 404, asked.model), 404)
    if body.get("tools"):
        return JSONResponse(no_tools(wire, asked.model), 400)
    answer = script.next_answer(asked)
    if isinstance(answer, Failure):
        return await _failing(asked, answer, request)
    return _answering(asked, answer)


def _answering(asked: Asked, text: str) -> Response:
    if asked.streamed:
        return StreamingResponse(iter(list(streamed(asked, text))), media_type=_MEDIA[asked.wire])
    return JSONResponse(whole(asked, text))


async def _failing(asked: Asked, failure: Failure, request: Request) -> Response:
    match failure.kind:
        case "status":
            return JSONResponse(error_body(asked.wire, failure.status, asked.model), failure.status)
        case "page":
            return HTMLResponse(_PAGE)
        case "empty":
            return _answering(asked, "")
        case "malformed":
            return _answering(asked, '{"statements": [{"field": "na')
        case "refusal" if asked.wire != "ollama" and not asked.streamed:
            return JSONResponse(whole(asked, _DECLINED, declined=True))
        case "refusal":
            return _answering(asked, _DECLINED)
        case "hang":
            await _hang(request, failure.seconds)
            return _answering(asked, speak(asked))
        case "cut":
            return StreamingResponse(_cut(asked), media_type=_MEDIA[asked.wire])


async def _hang(request: Request, seconds: float) -> None:
    """Say nothing, until the time is over or the client has given up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass


async def _cut(asked: Asked) -> AsyncIterator[str]:
    """Half an answer, and then a connection that breaks."""
    if asked.streamed:
        for line in streamed(asked, "La mitad de una frase que no termina nunca", cut=True):
            yield line
    else:
        yield '{"model":'
    raise ConnectionAbortedError("the stand-in was told to break off")
