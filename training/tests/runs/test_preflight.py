"""The look before the first step: each check with what passes it and what does not, and nothing on disk afterwards."""

from __future__ import annotations

import dataclasses
import json
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from persona_training import preflight_room
from persona_training.bases import BaseModel
from persona_training.cli import main
from persona_training.config import Lora, Recipe, Steps
from persona_training.datasets import load_dataset
from persona_training.display import Display
from persona_training.errors import StorageError
from persona_training.hardware import choose_hardware
from persona_training.lessons import read_lessons
from persona_training.memory_estimate import estimate
from persona_training.messages import Message
from persona_training.preflight import PreflightError, preflight
from persona_training.preflight_room import check_disk, check_memory
from persona_training.preflight_rows import (
    check_learned,
    check_personal_data,
    check_repeats,
    check_row_count,
    near_repeats,
)
from persona_training.preflight_template import check_template, serving_tokens
from persona_training.preparation import Data, Prepared, Request
from persona_training.run_manifest import claim_folder
from persona_training.schedule import plan
from persona_training.settings import Settings
from persona_training.testing import LINEAR_LAYERS, RowText, row, write_export, write_rows
from persona_training.tiny.tokenizer import learn_tokenizer

CONFIG = {
    "max_position_embeddings": 512,
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 400,
    "tie_word_embeddings": True,
}
NOUNS = ("gato", "volcán", "tren", "queso", "planeta", "zapato", "río", "libro")


def rows_about(count: int) -> list[RowText]:
    """Rows that are unlike each other."""
    return [
        row(
            [
                (
                    f"¿Qué piensas de {NOUNS[i % 8]} número {i}?",
                    f"{NOUNS[i % 8] * 3} {i * 7919 % 1000} {NOUNS[i * 5 % 8]}.",
                )
            ],
            f"s{i}",
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A base without weights: a tokenizer and a shape are all that the checks read."""
    folder = tmp_path_factory.mktemp("base")
    texts = [
        [Message(role="user", content=f"{noun} {noun} uno"), Message(role="assistant", content=noun)] for noun in NOUNS
    ]
    learn_tokenizer(texts, 400).save_pretrained(str(folder))
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return BaseModel("blank", folder, "0" * 64)


def prepared_for(base: BaseModel, source: Path, settings: Settings, **changes: Any) -> Prepared:
    from persona_training.models import load_tokenizer

    reason = changes.pop("allow_personal_data", None)
    recipe = Recipe(
        name="test/1",
        layer=1,
        base_model="blank",
        lora=Lora(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=LINEAR_LAYERS),
        steps=Steps(batch_size=4, learning_rate=0.001, max_steps=10),
        max_length=256,
        device="cpu",
        dtype="float32",
    )
    recipe = dataclasses.replace(recipe, **changes)
    dataset = load_dataset([str(source)], settings.exports_dir)
    tokenizer = load_tokenizer(base.folder)
    lessons = read_lessons(tokenizer, dataset.train, dataset, recipe)
    return Prepared(
        request=Request(recipe, [str(source)], allow_personal_data=reason),
        base=base,
        hardware=choose_hardware("cpu", "float32"),
        tokenizer=tokenizer,
        data=Data(dataset, None, None, None),
        parent=None,
        parents=(),
        load_from=base.folder,
        to_merge=(),
        taught=len(lessons.examples),
        schedule=plan(lessons.examples, (), 0.0, recipe.steps, recipe.seed),
        val=(),
        week=None,
        skill=None,
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "data", tmp_path / "exports", tmp_path / "adapters")


def from_rows(base: BaseModel, settings: Settings, rows: list[RowText], **changes: Any) -> Prepared:
    return prepared_for(base, write_rows(settings.exports_dir / "rows.jsonl", rows), settings, **changes)


def test_a_sound_run_passes_everything_and_writes_nothing(
    base: BaseModel, settings: Settings, display: Display
) -> None:
    prepared = from_rows(base, settings, rows_about(100))
    found = preflight(prepared, settings, display)
    assert [check.level for check in found] == ["ok"] * 7, found
    assert not settings.adapters_dir.exists()
    assert not settings.data_dir.exists()


def test_memory_is_held_against_what_the_device_has(
    base: BaseModel, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = from_rows(base, settings, rows_about(20))
    needed = estimate(CONFIG, prepared.request.recipe).total_bytes
    for free, in_use, level in ((2.0, False, "ok"), (1.0, False, "note"), (0.75, False, "fail"), (2.0, True, "ok")):
        monkeypatch.setattr(preflight_room, "_free", lambda *_, free=free: (round(needed * free), "free"))
        check = check_memory(prepared, in_use)
        assert check.level == level
        assert bool(check.remedy) == (level != "ok")


def test_main_memory_that_a_base_is_loaded_into_is_looked_at_too(
    base: BaseModel, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = from_rows(base, settings, rows_about(20))
    on_gpu = dataclasses.replace(prepared, hardware=dataclasses.replace(prepared.hardware, device=torch.device("cuda")))
    for available, level in ((1 << 40, "ok"), (1, "note")):
        room = {"cuda": (1 << 40, "free"), "cpu": (available, "available")}
        monkeypatch.setattr(preflight_room, "_free", lambda device, _, room=room: room[device])
        check = check_memory(on_gpu, False)
        assert (check.level, "GB of main memory" in check.found) == (level, level == "note")


def test_a_shape_nobody_knows_is_only_noted(base: BaseModel, settings: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({**CONFIG, "model_type": "unheard-of"}), encoding="utf-8")
    prepared = dataclasses.replace(
        from_rows(base, settings, rows_about(20)), base=dataclasses.replace(base, folder=other)
    )
    for check in (check_memory(prepared, False), check_disk(prepared, settings.adapters_dir)):
        assert check.level == "note"
        assert "unheard-of" in check.found


def test_a_disk_without_room_stops_the_run(
    base: BaseModel, settings: Settings, display: Display, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = from_rows(base, settings, rows_about(20))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(100, 99, 1 << 20))
    with pytest.raises(PreflightError, match="Free some space"):
        preflight(prepared, settings, display)
    assert not settings.adapters_dir.exists()


@pytest.mark.parametrize(("layer", "rows", "level"), [(1, 15, "fail"), (1, 60, "note"), (1, 90, "ok"), (2, 60, "ok")])
def test_each_layer_asks_for_its_number_of_rows(
    layer: int, rows: int, level: str, base: BaseModel, settings: Settings
) -> None:
    prepared = from_rows(base, settings, rows_about(rows + rows // 9), layer=layer)
    assert check_row_count(prepared).level == level


def test_rows_that_are_left_out_do_not_count(base: BaseModel, settings: Settings) -> None:
    long = [row([("¿qué?", "palabra " * 300)], f"l{i}") for i in range(90)]
    check = check_row_count(from_rows(base, settings, [*rows_about(10), *long]))
    assert check.level == "fail"
    assert "of 90 to learn" in check.found


def test_a_prompt_that_outweighs_the_replies_is_noted(base: BaseModel, settings: Settings) -> None:
    rows = [row([(f"hola {i}", "sí")], f"s{i}", system="Eres Casiopy. " * 30) for i in range(20)]
    kept = check_learned(from_rows(base, settings, rows, max_length=4096))
    assert (kept.level, "system_prompt: omit" in kept.remedy) == ("note", True)
    assert check_learned(from_rows(base, settings, rows, max_length=4096, system_prompt="omit")).level == "ok"


def test_personal_data_is_refused_with_counts_and_places(base: BaseModel, settings: Settings, display: Display) -> None:
    rows = [*rows_about(20), row([("mi número", "612 345 678 y ana@example.org")], "s1")]
    prepared = from_rows(base, settings, rows)
    check = check_personal_data(prepared)
    assert check.level == "fail"
    assert "1 e-mail" in check.found
    assert "rows.jsonl:21 telephone 6…8" in check.found
    assert "612 345 678" not in check.found
    with pytest.raises(PreflightError, match="--allow-personal-data REASON"):
        preflight(prepared, settings, display)
    allowed = check_personal_data(from_rows(base, settings, rows, allow_personal_data="invented for a test"))
    assert (allowed.level, "invented for a test" in allowed.found) == ("note", True)


def test_in_an_export_it_is_noted_because_the_service_redacted_it(base: BaseModel, settings: Settings) -> None:
    folder = settings.exports_dir / "one"
    rows = [*rows_about(20), row([("mi número", "612 345 678")], "s1")]
    write_export(folder, "personality", rows, rows_about(2))
    check = check_personal_data(prepared_for(base, folder, settings))
    assert (check.level, "train.jsonl:21" in check.found) == ("note", True)


def test_repeats_are_counted(base: BaseModel, settings: Settings) -> None:
    rows = rows_about(40)
    assert check_repeats(from_rows(base, settings, rows).dataset).level == "ok"
    check = check_repeats(from_rows(base, settings, rows + rows[:20]).dataset)
    assert (check.level, bool(check.remedy)) == ("note", True)
    texts = ["the quick brown fox jumps over the lazy dog by the river", "something else entirely, about trains"]
    assert near_repeats(texts) == 0
    assert near_repeats([*texts, texts[0].upper() + "!", ""]) == 1


def test_the_served_template_must_write_what_was_taught(base: BaseModel, settings: Settings, tmp_path: Path) -> None:
    prepared = from_rows(base, settings, rows_about(20))
    assert check_template(prepared).level == "ok"
    other = tmp_path / "other"
    prepared.tokenizer.save_pretrained(str(other))
    (other / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    turn = "<|im_start|>{{ m['role'] }}: {{ m['content'] }}<|im_end|>\n"
    served = "{% for m in messages %}" + turn + "{% endfor %}<|im_start|>assistant\n"
    (other / "chat_template.jinja").write_text(served, encoding="utf-8")
    check = check_template(dataclasses.replace(prepared, base=dataclasses.replace(base, folder=other)))
    assert check.level == "fail"
    assert "instead of" in check.found
    (other / "chat_template.jinja").write_text("{{ raise_exception('no') }}", encoding="utf-8")
    check = check_template(dataclasses.replace(prepared, base=dataclasses.replace(base, folder=other)))
    assert (check.level, "cannot be rendered" in check.found) == ("fail", True)


@pytest.mark.parametrize("change", [{"model_type": "phi3"}, {"vocab_size": None}])
def test_a_base_that_no_gguf_can_carry_is_noted_before_hours_of_training(
    change: dict[str, Any], base: BaseModel, settings: Settings, tmp_path: Path
) -> None:
    prepared = from_rows(base, settings, rows_about(20))
    shape = {name: value for name, value in {**CONFIG, **change}.items() if value is not None}
    prepared.tokenizer.save_pretrained(str(tmp_path / "other"))
    (tmp_path / "other" / "config.json").write_text(json.dumps(shape), encoding="utf-8")
    check = check_template(dataclasses.replace(prepared, base=dataclasses.replace(base, folder=tmp_path / "other")))
    assert check.level == "note"
    assert "cannot be carried into GGUF" in check.found


def test_a_begin_token_stands_there_once(base: BaseModel, settings: Settings) -> None:
    tokenizer = from_rows(base, settings, rows_about(20)).tokenizer
    tokenizer.bos_token = "<|im_end|>"  # any token will do
    messages = [Message(role="user", content="gato"), Message(role="assistant", content="tren")]
    template = "{{ bos_token }}{% for m in messages %}{{ m['content'] }} {% endfor %}"
    without = template.removeprefix("{{ bos_token }}")
    assert serving_tokens(tokenizer, template, messages, True) == serving_tokens(tokenizer, template, messages, False)
    assert serving_tokens(tokenizer, without, messages, True) == serving_tokens(tokenizer, template, messages, True)


def test_the_command_says_what_is_in_the_way(
    base: BaseModel, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (base.folder / "model.safetensors").write_bytes(b"blank")
    rows = write_rows(tmp_path / "rows.jsonl", [*rows_about(30), row([("yo", "ana@example.org")])])
    for name, value in (("CASIOPY_DATA", settings.data_dir), ("LORA_ADAPTERS_DIR", settings.adapters_dir)):
        monkeypatch.setenv(name, str(value))
    tiny = Path(__file__).parents[2] / "configs" / "tiny" / "personality.yaml"
    command = ["train-personality", "--config", str(tiny), "--base-model", str(base.folder), "--dataset", str(rows)]
    refused = CliRunner().invoke(main, [*command, "--preflight-only"])
    assert refused.exit_code == 1, refused.output
    assert "rows.jsonl:31 e-mail a…g" in refused.output
    allowed = CliRunner().invoke(main, [*command, "--preflight-only", "--allow-personal-data", "nobody's"])
    assert allowed.exit_code == 0, allowed.output
    assert "no run was begun" in allowed.output
    assert not settings.adapters_dir.exists()


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(
    base: BaseModel, settings: Settings, tmp_path: Path
) -> None:
    prepared = from_rows(base, settings, rows_about(20))
    with ThreadPoolExecutor(4) as pool:
        claimed = list(pool.map(lambda _: claim_folder(prepared, settings.adapters_dir), range(4)))
    assert len({adapter_id for adapter_id, _ in claimed}) == 4
    assert all(folder.is_dir() and folder.name == adapter_id for adapter_id, folder in claimed)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageError, match="another --output-dir"):
        claim_folder(prepared, tmp_path / "file")
