"""What the stand-in says when nothing is ordered: an echo, or JSON of the wanted shape."""

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memory_service.llm.stand_in.script import Asked

_PLAINLY_SAID = {
    "name": re.compile(r"(?:[Mm]y name is|[Mm]e llamo) (?P<value>\w+)"),
    "likes": re.compile(r"(?:I (?:love|like)|[Mm]e (?:gusta|encanta)) (?P<value>\w+)"),
}


def speak(asked: "Asked") -> str:
    """Plausible and predictable: the last user turn comes back; a schema is filled with as little as it allows,
    save that a plainly said name or liking is extracted."""
    turns = [str(turn.get("content", "")) for turn in asked.messages if turn.get("role") == "user"]
    last = turns[-1] if turns else ""
    if asked.schema is None:
        return f"*suspiro* Has dicho: {last or 'nada'}"
    answer = smallest(asked.schema, asked.schema)
    if isinstance(answer, dict) and "operations" in answer:
        answer["operations"] = _operations(last.rpartition("Message:")[2])
    return json.dumps(answer, ensure_ascii=False)


def _operations(message: str) -> list[dict[str, Any]]:
    """A name and a liking, as a model would find them in the plainest sentences of two languages."""
    return [
        {"operation": "ADD", "field": field, "memory": 0, "value": found["value"], "evidence": found[0]}
        for field, pattern in _PLAINLY_SAID.items()
        if (found := pattern.search(message))
    ]


def smallest(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    """The smallest value that a JSON schema allows; enough of the language for the schemas that servers accept."""
    if "$ref" in schema:
        target: Any = root
        for step in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[step]
        return smallest(target, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return smallest(schema[key][0], root)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: smallest(fields[name], root) for name in schema.get("required", [])}
    if kind == "array":
        return [smallest(schema["items"], root)] * int(schema.get("minItems", 0))
    nothing = {"string": "x" * int(schema.get("minLength", 0)), "integer": 0, "number": 0.0, "boolean": False}
    return nothing.get(str(kind))


def pieces(text: str) -> list[str]:
    """A text as a model streams it: word by word, white space kept."""
    return re.findall(r"\S+\s*|\s+", text)


def tokens(text: str) -> int:
    """A count to fill `usage` with: words and signs."""
    return len(re.findall(r"\w+|[^\w\s]", text))
