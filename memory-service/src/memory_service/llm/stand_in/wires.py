"""The wire formats, as documented by OpenAI, Microsoft and Ollama: answers whole and streamed, and error bodies."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from memory_service.llm.stand_in.script import Asked, Json, Wire
from memory_service.llm.stand_in.speech import pieces, tokens

_REASONS = {
    400: ("invalid_request_error", "The request could not be carried out."),
    401: ("invalid_request_error", "Incorrect API key provided."),
    404: ("invalid_request_error", "The model does not exist or you do not have access to it."),
    429: ("rate_limit_error", "Rate limit reached for requests."),
}


def error_body(wire: Wire, status: int, model: str) -> Json:
    """What the server says beside an error status."""
    if wire == "ollama":
        return {"error": f"model '{model}' not found" if status == 404 else "the stand-in was told to fail"}
    if wire == "azure" and status == 404:
        return {
            "error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}
        }
    if wire == "azure" and status == 401:
        return {
            "error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."}
        }
    kind, message = _REASONS.get(status, ("server_error", "The server had an error while processing your request."))
    codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    return {"error": {"message": message, "type": kind, "param": None, "code": codes.get(status)}}


def no_tools(wire: Wire, model: str) -> Json:
    """The answer to a request with tools."""
    if wire == "ollama":
        return {"error": f"registry.ollama.ai/library/{model} does not support tools"}
    message = "This model does not support tools."
    return {"error": {"message": message, "type": "invalid_request_error", "param": "tools", "code": None}}


def whole(asked: Asked, text: str, *, declined: bool = False) -> Json:
    """The answer in one piece."""
    if asked.wire == "ollama":
        return {**_ollama_line(asked, text), **_ollama_end(asked, text)}
    message: Json = {"role": "assistant", "content": None if declined else text, "refusal": text if declined else None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**_head(asked, "chat.completion"), "choices": [choice], "usage": _usage(asked, text)}


def streamed(asked: Asked, text: str, *, cut: bool = False) -> Iterator[str]:
    """The answer line by line; `cut` leaves out the second half and the end."""
    said = pieces(text)
    said = said[: max(1, len(said) // 2)] if cut else said
    lines = _ollama_lines(asked, said, text, cut) if asked.wire == "ollama" else _openai_events(asked, said, text, cut)
    yield from lines


def _ollama_lines(asked: Asked, said: list[str], text: str, cut: bool) -> Iterator[str]:
    for piece in said:
        yield json.dumps(_ollama_line(asked, piece)) + "\n"
    if not cut:
        yield json.dumps({**_ollama_line(asked, ""), **_ollama_end(asked, text)}) + "\n"


def _ollama_line(asked: Asked, content: str) -> Json:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {
        "model": asked.model,
        "created_at": now,
        "message": {"role": "assistant", "content": content},
        "done": False,
    }


def _ollama_end(asked: Asked, text: str) -> Json:
    counts = {"prompt_eval_count": tokens(asked.prompt), "eval_count": tokens(text)}
    durations = dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), 1_000_000)
    return {"done": True, "done_reason": "stop", **durations, **counts}


def _openai_events(asked: Asked, said: list[str], text: str, cut: bool) -> Iterator[str]:
    if asked.wire == "azure":
        yield _event({**_head(asked, "chat.completion.chunk"), "choices": [], "prompt_filter_results": []})
    yield _chunk(asked, {"role": "assistant", "content": ""})
    for piece in said:
        yield _chunk(asked, {"content": piece})
    if cut:
        return
    yield _chunk(asked, {}, "stop")
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        yield _event({**_head(asked, "chat.completion.chunk"), "choices": [], "usage": _usage(asked, text)})
    yield "data: [DONE]\n\n"


def _chunk(asked: Asked, delta: Json, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _event({**_head(asked, "chat.completion.chunk"), "choices": [choice]})


def _event(body: Json) -> str:
    return f"data: {json.dumps(body)}\n\n"


def _head(asked: Asked, kind: str) -> Json:
    return {"id": "chatcmpl-stand-in", "object": kind, "created": int(time.time()), "model": asked.model}


def _usage(asked: Asked, text: str) -> dict[str, Any]:
    prompt, completion = tokens(asked.prompt), tokens(text)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
