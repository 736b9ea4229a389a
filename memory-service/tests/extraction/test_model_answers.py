"""What is believed of a model's answer, and what is not."""

import json
from typing import Any

import pytest
from memory_service.extraction.model_extractor import read_answer
from memory_service.extraction.prompt import ANSWER_TOKENS, SCHEMA, fits, messages, numbered
from memory_service.extraction.statements import Statement
from memory_service.memories.profile import FIELDS

SAID = "Hola, soy Ana. Ya no vivo en Madrid, me encanta la lluvia y programo en Python desde los 28 años."
REMEMBERED = numbered({"location": "Madrid", "likes": ["té", "café"]})  # 1 Madrid, 2 café, 3 té


def operation(operation: str, field: str, value: str, evidence: str, memory: int = 0) -> dict[str, Any]:
    return {"operation": operation, "field": field, "memory": memory, "value": value, "evidence": evidence}


def answer(*operations: Any) -> str:
    return json.dumps({"operations": list(operations)})


def yes(field: str, value: str | int, evidence: str) -> Statement:
    return Statement(field, value, False, 0.9, evidence)


def no(field: str, value: str, evidence: str) -> Statement:
    return Statement(field, value, True, 0.9, evidence)


@pytest.mark.parametrize(
    ("given", "statements"),
    [
        (operation("ADD", "name", "Ana", "soy Ana"), [yes("name", "Ana", "soy Ana")]),
        (operation("ADD", "name", "ana", "SOY  ANA."), [yes("name", "ana", "SOY  ANA.")]),
        (
            operation("ADD", "likes", "la lluvia", "me encanta la lluvia"),
            [yes("likes", "la lluvia", "me encanta la lluvia")],
        ),
        (
            operation("ADD", "role", "programadora", "programo en Python"),
            [yes("role", "programadora", "programo en Python")],
        ),
        (operation("ADD", "age", "28 años", "28 años"), [yes("age", 28, "28 años")]),
        (
            operation("DELETE", "location", "Madrid", "Ya no vivo en Madrid", 1),
            [no("location", "Madrid", "Ya no vivo en Madrid")],
        ),
        (
            operation("DELETE", "location", "", "Ya no vivo en Madrid", 1),
            [no("location", "Madrid", "Ya no vivo en Madrid")],
        ),
        (
            operation("DELETE", "location", "Madrid", "Ya no vivo en Madrid", 2),
            [no("location", "Madrid", "Ya no vivo en Madrid")],
        ),
        (
            operation("UPDATE", "likes", "lluvia", "me encanta la lluvia", 3),
            [no("likes", "té", "me encanta la lluvia"), yes("likes", "lluvia", "me encanta la lluvia")],
        ),
        (operation("NONE", "likes", "té", "", 3), [Statement("likes", "té")]),
        (operation("NONE", "likes", "té", ""), []),
    ],
)
def test_operations_become_statements(given: dict[str, Any], statements: list[Statement]) -> None:
    found = read_answer(answer(given), SAID, REMEMBERED)
    assert list(found.statements) == statements
    assert found.problem is None
    assert found.outcome == ("extracted" if statements else "nothing")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (operation("ADD", "likes", "lluvia", "adoro la lluvia"), "evidence that is not in the message"),
        (operation("ADD", "likes", "lluvia", ""), "evidence that is not in the message"),
        (operation("ADD", "likes", "lluvia", "…"), "evidence that is not in the message"),
        (operation("ADD", "likes", "lluvia", "luvi"), "evidence that is not in the message"),
        (operation("DELETE", "location", "Madrid", "I left", 1), "evidence that is not in the message"),
        (operation("ADD", "name", "Anabel", "soy Ana"), "a value of name that is not in the message"),
        (operation("ADD", "company", "Google", "programo en Python"), "a value of company that is not in the message"),
        (operation("ADD", "likes", "sushi", "me encanta la lluvia"), "a value of likes that is not in the message"),
        (operation("ADD", "shoe_size", "42", "soy Ana"), "a field that does not exist"),
        (operation("ADD", "age", "mucha", "28 años"), "an age that is none"),
        (operation("ADD", "age", "2800", "28 años"), "an age that is none"),
        (operation("ADD", "likes", "  ", "me encanta la lluvia"), "an empty value"),
        (operation("ADD", "likes", "lluvia " * 60, "me encanta la lluvia"), "a value longer than 300 characters"),
        (operation("MERGE", "likes", "lluvia", "me encanta la lluvia"), "not in the shape asked for (operation)"),
        (operation("ADD", "likes", "lluvia \ud800", "me encanta la lluvia"), "a value that is no text"),
        (operation("ADD", "likes", "lluvia \x00", "me encanta la lluvia"), "a value that is no text"),
        ({"field": "likes"}, "not in the shape asked for (operation)"),
        ({**operation("ADD", "name", "Ana", "soy Ana"), "id": "x"}, "not in the shape asked for (id)"),
        ("name: Ana", "not in the shape asked for ()"),
    ],
)
def test_what_the_message_does_not_bear_out_is_left_out_and_told(given: Any, reason: str) -> None:
    sound = operation("ADD", "name", "Ana", "soy Ana")
    found = read_answer(answer(given, sound), SAID, REMEMBERED)
    assert list(found.statements) == [yes("name", "Ana", "soy Ana")]
    assert found.problem == f"1 of the model's 2 operations left out: {reason}."
    assert found.outcome == "partial"
    assert not found.failed


@pytest.mark.parametrize(
    "text", ["", "Claro, aquí tienes:", '{"operations": [{"op', "[" * 5000, "[]", "null", '{"operations": null}', "{}"]
)
def test_an_answer_that_is_none(text: str) -> None:
    found = read_answer(text, SAID, REMEMBERED)
    assert found.failed
    assert found.outcome == "unusable"
    assert found.problem


def test_a_fence_around_the_json_is_no_obstacle() -> None:
    text = f"```json\n{answer(operation('ADD', 'name', 'Ana', 'soy Ana'))}\n```"
    assert read_answer(text, SAID, []).statements == (yes("name", "Ana", "soy Ana"),)


def test_the_prompt_shows_numbers_and_no_ids() -> None:
    prompt = messages(SAID, REMEMBERED)
    assert prompt[-1].content == f"Remembered:\n1. location: Madrid\n2. likes: café\n3. likes: té\n\nMessage:\n{SAID}"
    assert all(field in prompt[0].content for field in FIELDS)


def test_what_is_remembered_leaves_room_for_the_message() -> None:
    remembered = numbered({"likes": [f"thing number {number}" for number in range(2000)], "name": "Ana"})
    assert (remembered[0].field, remembered[1].value) == ("name", "thing number 1999")
    assert fits(messages("x" * 3000, remembered), 4096)
    assert not fits(messages("x" * 32_000, remembered), 4096)
    assert not fits(messages("x", []), ANSWER_TOKENS)


def test_the_schema_is_one_that_servers_accept() -> None:
    """OpenAI's strict mode: every property required, nothing else allowed, on every level."""
    levels = [SCHEMA, SCHEMA["properties"]["operations"]["items"]]
    for level in levels:
        assert level["additionalProperties"] is False
        assert level["required"] == list(level["properties"])
    assert levels[1]["properties"]["field"]["enum"] == list(FIELDS)
