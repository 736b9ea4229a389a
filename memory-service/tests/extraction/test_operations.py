"""What statements make of the memories there are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.extraction.operations import MAX_CONTENT, Change, Event, plan, same
from memory_service.extraction.statements import Statement
from memory_service.memories.profile import FIELDS, content_of

Row = tuple[dict[str, Any], list[Statement], dict[str, Any], list[tuple[str, Any, Event]]]


def yes(field: str, value: Any) -> Statement:
    return Statement(field, value)


def no(field: str, value: Any) -> Statement:
    return Statement(field, value, negated=True)


# (known before, said, known after, changes)
TABLE: list[Row] = [
    ({}, [yes("name", "John")], {"name": "John"}, [("name", "John", "ADD")]),
    ({"name": "John"}, [yes("name", "john")], {"name": "John"}, [("name", "John", "NONE")]),
    ({"name": "José"}, [yes("name", "Jose ")], {"name": "José"}, [("name", "José", "NONE")]),
    ({"name": "John"}, [yes("name", "Ana")], {"name": "Ana"}, [("name", "Ana", "UPDATE")]),
    ({"age": 28}, [yes("age", 29)], {"age": 29}, [("age", 29, "UPDATE")]),
    ({"age": "28"}, [yes("age", 28)], {"age": "28"}, [("age", "28", "NONE")]),
    ({}, [yes("name", "Ana"), yes("name", "Ana María")], {"name": "Ana María"}, [("name", "Ana María", "ADD")]),
    # A denial takes away what it names, and nothing else.
    ({"location": "Madrid"}, [no("location", "madrid")], {}, [("location", "Madrid", "DELETE")]),
    (
        {"location": "Barcelona"},
        [no("location", "Madrid")],
        {"location": "Barcelona"},
        [("location", "Barcelona", "NONE")],
    ),
    ({"location": "Madrid, España"}, [no("location", "Madrid")], {}, [("location", "Madrid, España", "DELETE")]),
    ({}, [no("location", "Madrid")], {}, [("location", "Madrid", "NONE")]),
    (
        {"location": "Madrid"},
        [no("location", "Madrid"), yes("location", "Barcelona")],
        {"location": "Barcelona"},
        [("location", "Barcelona", "UPDATE")],
    ),
    (
        {"location": "Madrid"},
        [yes("location", "Barcelona"), no("location", "Madrid")],
        {"location": "Barcelona"},
        [("location", "Barcelona", "UPDATE")],
    ),
    (
        {"location": "Madrid"},
        [no("location", "Madrid"), yes("location", "Madrid")],
        {"location": "Madrid"},
        [("location", "Madrid", "NONE")],
    ),
    # Lists: items come and go one by one.
    ({}, [yes("likes", "Python")], {"likes": ["Python"]}, [("likes", ["Python"], "ADD")]),
    ({"likes": ["Python"]}, [yes("likes", "PYTHON")], {"likes": ["Python"]}, [("likes", ["PYTHON"], "NONE")]),
    (
        {"likes": ["Python"]},
        [yes("likes", "rain"), yes("likes", "Rain")],
        {"likes": ["Python", "rain"]},
        [("likes", ["rain"], "ADD")],
    ),
    ({"likes": ["Python", "rain"]}, [no("likes", "RAIN.")], {"likes": ["Python"]}, [("likes", ["rain"], "DELETE")]),
    ({"likes": ["rain"]}, [no("likes", "rain")], {}, [("likes", ["rain"], "DELETE")]),
    ({"likes": ["rain"]}, [no("likes", "snow")], {"likes": ["rain"]}, [("likes", ["snow"], "NONE")]),
    (
        {"skills": ["C"]},
        [yes("skills", "C++"), yes("skills", "C#")],
        {"skills": ["C", "C++", "C#"]},
        [("skills", ["C++", "C#"], "ADD")],
    ),
    (
        {"hobbies": ["fútbol"]},
        [no("hobbies", "futbol"), yes("hobbies", "pádel")],
        {"hobbies": ["pádel"]},
        [("hobbies", ["fútbol"], "DELETE"), ("hobbies", ["pádel"], "ADD")],
    ),
    # Liking and disliking exclude each other.
    (
        {"likes": ["rain", "tea"]},
        [yes("dislikes", "Rain")],
        {"likes": ["tea"], "dislikes": ["Rain"]},
        [("dislikes", ["Rain"], "ADD"), ("likes", ["rain"], "DELETE")],
    ),
    (
        {"dislikes": ["rain"]},
        [yes("likes", "rain")],
        {"likes": ["rain"]},
        [("likes", ["rain"], "ADD"), ("dislikes", ["rain"], "DELETE")],
    ),
    ({"dislikes": ["rain"]}, [no("likes", "rain")], {"dislikes": ["rain"]}, [("likes", ["rain"], "NONE")]),
    (
        {},
        [yes("likes", "rain"), yes("dislikes", "rain")],
        {"dislikes": ["rain"]},
        [("likes", ["rain"], "NONE"), ("dislikes", ["rain"], "ADD")],
    ),
    # What clients stored in another shape than ours.
    ({"likes": "Python"}, [yes("likes", "rain")], {"likes": ["Python", "rain"]}, [("likes", ["rain"], "ADD")]),
    (
        {"family": [{"name": "Eva"}]},
        [yes("family", "hermano Luis")],
        {"family": [{"name": "Eva"}, "hermano Luis"]},
        [("family", ["hermano Luis"], "ADD")],
    ),
    ({"role": ["dev", "writer"]}, [yes("role", "cook")], {"role": "cook"}, [("role", "cook", "UPDATE")]),
    ({"role": ["dev"]}, [no("role", "cook")], {"role": ["dev"]}, [("role", ["dev"], "NONE")]),
]


def applied(current: dict[str, Any], said: list[Statement]) -> dict[str, Any]:
    """The memories after the writes of a plan, as the service makes them."""
    after = dict(current)
    for planned in plan(current, said):
        if planned.writes:
            after[planned.field] = planned.after
    return {field: value for field, value in after.items() if value is not None}


@pytest.mark.parametrize(("before", "said", "after", "changes"), TABLE)
def test_changes(
    before: dict[str, Any], said: list[Statement], after: dict[str, Any], changes: list[tuple[str, Any, Event]]
) -> None:
    assert applied(before, said) == after
    found = [change for planned in plan(before, said) for change in planned.changes]
    assert found == [Change(*change) for change in changes]


def test_a_list_that_is_full_takes_no_more_and_says_so() -> None:
    known = ["x" * 99 + str(number) for number in range(96)]
    (planned,) = plan({"likes": known}, [yes("likes", "y" * 200), yes("likes", "tea")])
    assert planned.full == ("y" * 200,)
    assert planned.after == [*known, "tea"]
    assert len(content_of("likes", planned.after)) <= MAX_CONTENT


VALUES = st.sampled_from(["rain", "Rain", "tea", "té", "C", "C++"])
STATEMENTS = st.lists(
    st.builds(
        Statement,
        field=st.sampled_from(["likes", "dislikes", "favorites", "location", "skills"]),
        value=VALUES,
        negated=st.booleans(),
    ),
    max_size=8,
)
KNOWN = st.fixed_dictionaries(
    {},
    optional={"likes": st.just(["rain"]), "dislikes": st.just(["tea"]), "location": VALUES, "skills": st.just(["C"])},
)


@given(KNOWN, STATEMENTS)
def test_saying_it_again_changes_nothing(before: dict[str, Any], said: list[Statement]) -> None:
    """Adding a known fact again deletes it in some stores; here a whole message may come twice."""
    after = applied(before, said)
    assert applied(after, [statement for statement in said if statement.field in {"location", "skills"}][-1:]) == after
    if len({statement.field for statement in said}) == len(said) == 1:
        assert applied(after, said) == after
        assert all(change.event == "NONE" for planned in plan(after, said) for change in planned.changes)


@given(KNOWN, STATEMENTS)
def test_events_tell_exactly_what_changed(before: dict[str, Any], said: list[Statement]) -> None:
    after = applied(before, said)
    told = {change.field for planned in plan(before, said) for change in planned.changes if change.event != "NONE"}
    assert told == {field for field in FIELDS if before.get(field) != after.get(field)}


@given(KNOWN, STATEMENTS)
def test_the_last_word_counts(before: dict[str, Any], said: list[Statement]) -> None:
    if not said:
        return
    last = said[-1]
    held = applied(before, said).get(last.field, [])
    held = held if isinstance(held, list) else [held]
    assert any(same(value, last.value) for value in held) is not last.negated


@given(KNOWN, STATEMENTS)
def test_nobody_likes_and_dislikes_the_same(before: dict[str, Any], said: list[Statement]) -> None:
    after = applied(before, said)
    liked = [*after.get("likes", []), *after.get("favorites", [])]
    assert not any(same(one, other) for one in liked for other in after.get("dislikes", []))


@given(STATEMENTS)
def test_untouched_fields_stay(said: list[Statement]) -> None:
    assert (
        applied({"name": "Ana", "pets": ["gato Michi"]}, said).items()
        >= {
            "name": "Ana",
            "pets": ["gato Michi"],
        }.items()
    )
