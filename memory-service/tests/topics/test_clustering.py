"""Groups of exchanges by theme, on vectors whose themes are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_service.topics.clustering import ENOUGH, NO_TOPIC, find_groups, recognise, similarity_to_centre
from memory_service.topics.keywords import Words

THEMES = {"gato": ["gato", "miso", "patas"], "rust": ["rust", "compila", "borrow"], "pizza": ["pizza", "piña", "horno"]}


def themed(each: int, *, noise: int = 0) -> tuple[np.ndarray, list[Words], list[str]]:
    """`each` exchanges around every theme's direction, and some that belong nowhere."""
    random = np.random.default_rng(3)
    rows, words, names = [], list[Words](), list[str]()
    for number, (name, vocabulary) in enumerate(THEMES.items()):
        for _ in range(each):
            row = random.normal(0, 0.03, 32)
            row[number] += 1
            rows.append(row)
            words.append([vocabulary[i] for i in sorted(random.choice(3, 2, replace=False))])
            names.append(name)
    for number in range(noise):
        rows.append(random.normal(0, 1, 32))
        words.append([f"palabra{number}"])
        names.append("")
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), words, names


def test_themes_are_found_and_small_talk_stays_out_of_them() -> None:
    vectors, words, names = themed(12, noise=8)
    groups = find_groups(vectors, words).tolist()
    themes_of = {group: {name for g, name in zip(groups, names, strict=True) if g == group} for group in set(groups)}
    found = {group: themes.pop() for group, themes in themes_of.items() if group != NO_TOPIC and len(themes) == 1}
    assert len(found) == len(set(groups) - {NO_TOPIC})  # no group mixes themes
    for theme in THEMES:
        assert sum(found.get(group) == theme for group in groups) >= 8, theme


def test_the_same_exchanges_always_give_the_same_groups() -> None:
    vectors, words, _ = themed(10, noise=5)
    assert find_groups(vectors, words).tolist() == find_groups(vectors.copy(), words).tolist()


@pytest.mark.parametrize("count", [0, 1, ENOUGH - 1])
def test_too_few_exchanges_have_no_themes(count: int) -> None:
    vectors, words, _ = themed(10)
    assert find_groups(vectors[:count], words[:count]).tolist() == [NO_TOPIC] * count


@pytest.mark.parametrize("words", [[[]] * 30, [["igual"]] * 30])
def test_exchanges_without_telling_words_are_grouped_by_meaning_alone(words: list[Words]) -> None:
    vectors, _, names = themed(10)
    groups = find_groups(vectors, words)
    assert len({(group, name) for group, name in zip(groups, names, strict=True) if group != NO_TOPIC}) >= 3


def test_one_exchange_repeated_is_no_theme() -> None:
    vectors = np.tile(np.array([0.6, 0.8], np.float32), (25, 1))
    assert find_groups(vectors, [["uno", "dos"]] * 25).tolist() == [NO_TOPIC] * 25


@given(st.integers(1, 20), st.integers(0, 1000))
def test_similarity_to_the_centre_is_a_cosine(count: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = similarity_to_centre(vectors)
    assert ((similarity >= -1) & (similarity <= 1)).all()
    if count == 1:
        assert similarity[0] == pytest.approx(1)


groups = st.lists(st.sets(st.integers(0, 9), min_size=1), max_size=5)


@given(groups, groups)
def test_a_topic_goes_on_in_at_most_one_group_that_shares_half_of_it(old: list[set[int]], new: list[set[int]]) -> None:
    known = {f"t{number}": members for number, members in enumerate(old)}
    found = recognise(known, new)
    names = [name for name in found if name is not None]
    assert len(found) == len(new)
    assert len(set(names)) == len(names)
    for name, group in zip(found, new, strict=True):
        if name is not None:
            assert 2 * len(known[name] & group) >= len(known[name] | group)


def test_an_unchanged_group_keeps_its_topic() -> None:
    known = {"cats": {1, 2, 3}, "rust": {4, 5, 6}}
    assert recognise(known, [{4, 5, 6, 7}, {8, 9}, {1, 2, 3}]) == ["rust", None, "cats"]
