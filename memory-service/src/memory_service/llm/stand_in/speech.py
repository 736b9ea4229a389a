"""What the stand-in says when nothing is ordered: an echo, or the smallest JSON of the wanted shape."""

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memory_service.llm.stand_in.script import Asked


def speak(asked: "Asked") -> str:
    """Plausible and predictable: the last user turn comes back; a schema is filled with as little as it allows."""
    if asked.schema is not None:
        return json.dumps(smallest(asked.schema, asked.schema), ensure_ascii=False)
    turns = [str(turn.get("content", "")) for turn in asked.messages if turn.get("role") == "user"]
    return f"*suspiro* Has dicho: {turns[-1] if turns else 'nada'}"


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
