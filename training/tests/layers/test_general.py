"""The base's own replies to neutral prompts: made once, kept under their hash, never taken on trust."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from persona_training import general
from persona_training.bases import find_base
from persona_training.config import Recipe
from persona_training.display import Display
from persona_training.errors import DatasetError
from persona_training.general import general_dataset, shipped_prompts
from persona_training.generation import NoRoomError
from persona_training.hashing import sha256_file
from persona_training.settings import Settings
from persona_training.testing import row, small_recipe, write_rows
from rich.console import Console

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"), exports_dir=tmp_path_factory.mktemp("exports"))


@pytest.fixture
def recipe(tiny_base: Path) -> Recipe:
    return small_recipe(tiny_base, layer=2, general_share=0.1)


def rows_and_words(recipe: Recipe, settings: Settings, given: tuple[str, ...] = ()) -> tuple[list[list[str]], str]:
    console = Console(file=StringIO(), width=400)
    base = find_base(recipe.base_model, settings.data_dir)
    dataset = general_dataset(base, recipe, given, settings, Display(console))
    assert dataset is not None
    assert dataset.val == ()
    told = [[message["content"] for message in read.messages] for read in dataset.train]
    return told, console.file.getvalue()  # type: ignore[attr-defined]


def test_the_prompts_are_neutral_in_both_languages_and_all_different() -> None:
    prompts = shipped_prompts()
    assert len(prompts) == len(set(prompts)) == 120
    languages = Counter("es" if any(mark in prompt for mark in "¿ñáéíóú«") else "?" for prompt in prompts)
    assert languages["es"] > 35
    assert not any("casiopy" in prompt.lower() for prompt in prompts)


def test_replies_are_made_once_and_kept(recipe: Recipe, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    told, words = rows_and_words(recipe, settings)
    assert "made now, once per base and prompts" in words
    assert "10% of each epoch" in words
    assert len(told) > 40
    assert {asked for asked, _ in told} <= set(shipped_prompts())
    assert all(reply == reply.strip() and reply for _, reply in told)
    with monkeypatch.context() as patched:
        patched.delattr(general, "load_transformers_replier")
        again, words = rows_and_words(recipe, settings)
    assert again == told
    assert "kept in" in words
    (kept,) = (settings.data_dir / "general").glob("*.jsonl")
    digest = sha256_file(kept)
    kept.write_text(kept.read_text("utf-8").replace(told[0][1], "¡Compra ahora!"), encoding="utf-8")
    again, words = rows_and_words(recipe, settings)
    assert again == told
    assert "made anew" in words
    assert sha256_file(kept) == digest
    kept.with_suffix(".json").write_text("{", encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(general, "_answered", lambda *_: told)
        assert "made anew" in rows_and_words(recipe, settings)[1]
    assert sorted(path.suffix for path in kept.parent.iterdir()) == [".json", ".jsonl"]


def test_a_reply_that_ran_into_the_limit_ends_with_a_whole_sentence(
    recipe: Recipe, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All prompts again: in other company a reply's last bits differ, and with them, on some machine, a word."""
    monkeypatch.setattr(general, "SAMPLING", dataclasses.replace(general.SAMPLING, max_new_tokens=12))
    short, _ = rows_and_words(recipe, dataclasses.replace(settings, data_dir=tmp_path))
    monkeypatch.undo()
    whole = dict(rows_and_words(recipe, settings)[0])
    cut = {asked: reply for asked, reply in short if reply != whole.get(asked)}
    assert cut
    for asked, reply in cut.items():
        assert reply[-1] in ".!?…»"
        assert whole[asked].startswith(reply)


def test_a_reply_caught_in_a_loop_is_left_out() -> None:
    assert general.repeats_itself("Se escribe así: cól" + "lil" * 40)
    assert not general.repeats_itself("Calienta el aceite, fríe las patatas despacio y añade los huevos batidos.")
    assert not any(general.repeats_itself(prompt) for prompt in shipped_prompts())


def test_a_given_file_is_used_instead(recipe: Recipe, settings: Settings, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "neutral.jsonl", [row([("2+2", "4")], session=f"s{i}", system="x") for i in range(5)])
    told, words = rows_and_words(recipe, settings, (str(file),))
    assert len(told) == 5
    assert "from neutral.jsonl: given on the command line" in words
    file.write_text(json.dumps({"prompt": [], "label": True}) + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"neutral\.jsonl:1"):
        rows_and_words(recipe, settings, (str(file),))


def test_a_share_of_zero_needs_no_rows(recipe: Recipe, settings: Settings, display: Display) -> None:
    none = dataclasses.replace(recipe, general_share=0.0)
    base = find_base(recipe.base_model, settings.data_dir)
    assert general_dataset(base, none, (), settings, display) is None
    with pytest.raises(DatasetError, match="add --general-share"):
        general_dataset(base, none, ("neutral.jsonl",), settings, display)


def test_a_gpu_without_room_says_what_to_give_instead(
    recipe: Recipe, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def reply(self, *_: object, **__: object) -> list[str]:
            raise NoRoomError("32 conversations at a time do not fit")

    monkeypatch.setattr(general, "_replier", lambda *_: Full())
    with pytest.raises(DatasetError, match=r"no room for the base's own replies.*--general-share 0"):
        rows_and_words(recipe, dataclasses.replace(settings, data_dir=tmp_path))
