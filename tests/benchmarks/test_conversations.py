"""Reading conversations, cutting them into memories, and the baselines' rankings."""

import json
from pathlib import Path
from typing import Any

import pytest
from conversations import BadData, Conversations, read, units
from hypothesis import given
from hypothesis import strategies as st
from recall_baselines import LONGER, bm25, rrf


def turn(number: int, session: int, text: str, **more: str) -> dict[str, Any]:
    return {"id": f"t{number}", "session": session, "date": "2026-01-02T10:00", "speaker": "Ana", "text": text} | more


def document(**changes: Any) -> dict[str, Any]:
    """Five turns in two sessions, with one question."""
    turns = [
        turn(1, 1, "My cat is called Luna.", caption="a cat"),
        turn(2, 1, "A lovely name."),
        turn(3, 1, "She hates the rain."),
        turn(4, 2, "I bought a boat yesterday."),
        turn(5, 2, "Where will it sail?"),
    ]
    queries = [{"id": "q1", "question": "What is the cat called?", "category": "single-hop", "evidence": ["t1"]}]
    conversation = {"id": "c", "speakers": ["Ana", "Eva"], "turns": turns, "queries": queries} | changes
    return {"dataset": "made up", "language": "en", "question_language": "en", "conversations": [conversation]}


def written(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Conversations:
    return read(written(tmp_path / "data.json", document()))


def test_a_turn_is_stored_with_its_speaker_and_image(data: Conversations) -> None:
    (conversation,) = data.conversations
    first, second = conversation.turns[:2]
    assert first.text == "Ana: My cat is called Luna. [shares image: a cat]"
    assert first.when < second.when
    assert conversation.queries[0].evidence == {("c", "t1")}
    assert (data.name, data.languages) == ("made up", ("en", "en"))


def test_pairs_stay_within_a_session(data: Conversations) -> None:
    (conversation,) = data.conversations
    assert [[turn.key[1] for turn in unit.turns] for unit in units(conversation, "pairs")] == [
        ["t1", "t2"], ["t3"], ["t4", "t5"],
    ]  # fmt: skip
    for store in ("interactions", "memories"):
        assert [unit.keys for unit in units(conversation, store)] == [(turn.key,) for turn in conversation.turns]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"turns": [turn(1, 1, "a"), turn(1, 1, "b")]}, "two turns the same id"),
        ({"turns": [turn(2, 1, "a")]}, "lacks the evidence"),
        ({"queries": []}, "asks nothing"),
        ({"turns": [{"id": "t1"}]}, "has not the shape"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadData, match=said):
        read(written(tmp_path / "bad.json", document(**changes)))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="cannot be read"):
        read(tmp_path / "missing.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(BadData, match="is no JSON"):
        read(tmp_path / "text.json")


def test_a_language_that_is_not_told_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = document(
        queries=[{"id": "q", "question": "¿Cómo se llama la gata de Ana?", "category": "a", "evidence": ["t1"]}]
    )
    del content["question_language"]
    assert read(written(tmp_path / "mixed.json", content)).languages == ("en", "es")
    assert "looks like es" in capsys.readouterr().out


def test_rrf_by_hand() -> None:
    """1: 1/61 + 1/62; 2: 1/62 + 1/61, the same, and the earlier text goes first; 3: 1/63."""
    assert rrf([1, 2, 3], [2, 1]) == [1, 2, 3]
    assert rrf([1, 2, 3], [3]) == [3, 1, 2]
    assert rrf([], []) == []


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True))
def test_rrf_gives_everything_once_whatever_comes_first(one: list[int], other: list[int]) -> None:
    both = rrf(one, other)
    assert sorted(both) == sorted({*one, *other})
    assert both == rrf(other, one)
    assert rrf(one, one) == one


def test_bm25_stems_and_folds_and_leaves_stop_words_out() -> None:
    ask = bm25(["The cats sleep", "El camión azul", "A canción of the sea", "the the the"], ("es", "es"))
    assert ask("camiones") == [1]
    assert ask("una cancion del mar") == [2]
    assert ask("el la de") == []
    assert bm25(["what you did", "sailing"], ("en", "en"), LONGER)("What did you sail?") == [1]
