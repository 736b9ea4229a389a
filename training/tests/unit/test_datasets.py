"""Every way to name a dataset, and every way it can be wrong."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from persona_training.datasets import checked_week, load_dataset
from persona_training.errors import DatasetError
from persona_training.preferences import JudgedRow, PairRow
from persona_training.testing import RowText, row, write_export, write_rows


def rows(count: int, sessions: int = 5) -> list[RowText]:
    return [row([(f"pregunta {i}", f"respuesta {i}")], session=f"s{i % sessions}") for i in range(count)]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "exports" / "personality-x"
    manifest = write_export(folder, "personality", rows(9), rows(3))
    return folder.rename(folder.with_name(manifest["export_id"]))


def test_an_export_has_many_names(export: Path) -> None:
    exports = export.parent
    named = [load_dataset([name], exports) for name in (export.name, str(export), str(export / "manifest.json"))]
    assert {dataset.export_id for dataset in named} == {export.name}
    assert [(len(dataset.train), len(dataset.val)) for dataset in named] == [(9, 3)] * 3


def test_a_copy_of_an_export_is_recognised(export: Path, tmp_path: Path) -> None:
    copy = tmp_path / "personality.jsonl"
    copy.write_bytes((export / "train.jsonl").read_bytes())
    dataset = load_dataset([str(copy)], export.parent)
    assert dataset.export_id == export.name
    assert len(dataset.val) == 3


def test_bare_files_hold_whole_sessions_out(tmp_path: Path) -> None:
    files = [str(write_rows(tmp_path / f"{n}.jsonl", rows(30, sessions=20))) for n in "ab"]
    dataset = load_dataset(files, tmp_path)
    assert dataset.export_id is None
    assert len(dataset.train) + len(dataset.val) == 60
    assert not {r.session_id for r in dataset.train} & {r.session_id for r in dataset.val}
    assert {r.session_id for r in dataset.val} == {"s0", "s10"}


def test_of_several_weeks_the_one_asked_for_is_used(tmp_path: Path) -> None:
    files = [str(write_rows(tmp_path / f"week_{n:02d}.jsonl", rows(n))) for n in (3, 4, 5)]
    assert [path.name for path in load_dataset(files, tmp_path, week=4).source] == ["week_04.jsonl"]
    with pytest.raises(DatasetError, match="None of the given files is week_06"):
        load_dataset(files, tmp_path, week=6)


def test_a_single_file_of_another_week_is_not_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "week_03.jsonl", rows(5))
    assert load_dataset([str(file)], tmp_path, week=3).source == (file,)
    with pytest.raises(DatasetError, match="None of the given files is week_04"):
        load_dataset([str(file)], tmp_path, week=4)
    other = file.rename(tmp_path / "march.jsonl")
    assert load_dataset([str(other)], tmp_path, week=4).source == (other,)


def test_files_of_one_name_in_several_folders_are_all_in_the_hash(tmp_path: Path) -> None:
    files = [write_rows(tmp_path / folder / "rows.jsonl", rows(5)) for folder in "ab"]
    before = load_dataset([str(file) for file in files], tmp_path).sha256
    write_rows(files[0], rows(6))
    assert load_dataset([str(file) for file in files], tmp_path).sha256 != before


def test_a_changed_file_is_refused(export: Path) -> None:
    write_rows(export / "train.jsonl", rows(8))
    with pytest.raises(DatasetError, match="changed after the export"):
        load_dataset([export.name], export.parent)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json\n", r"rows\.jsonl:1: not JSON"),
        (json.dumps(row([("hola", "hola")])) + "\n\n3\n", r"rows\.jsonl:3: not a row of the form .*it has: int"),
        ('{"messages": []}\n', "take turns"),
        ('{"text": "hola"}\n', "not a row of the form"),
        ('{"messages": [], "chosen": []}\n', "not a row of the form"),
        ('{"messages": [{"role": "user"}]}\n', "'content' is missing"),
        ('{"messages": [{"role": "user", "content": 5}]}\n', "int where a message's text belongs"),
        ('{"messages": "hola"}\n', "str where a list of messages belongs"),
        ('{"messages": [3]}\n', "not a row of the form"),
        ('{"messages": [], "metadata": 3}\n', "not a row of the form"),
        (json.dumps(row([("hola", " ")])) + "\n", "a message is empty"),
        ('{"messages": [{"role": "user", "content": "hola"}]}\n', "take turns"),
        ('{"messages": [{"role": "assistant", "content": "hola"}, {"role": "user", "content": "x"}]}\n', "take turns"),
        ("", r"rows\.jsonl holds no training rows: it is empty"),
        ("\n\n", "no training rows"),
        (json.dumps(row([("\ud83d bad", "hola")])) + "\n", r"rows\.jsonl:1: .*half a character, \\ud83d"),
        (json.dumps(row([("hola", "hola")], session="\udc00")) + "\n", r"rows\.jsonl:1: .*half a character"),
        ("[" * 100_000 + "\n", r"rows\.jsonl:1: nested too deeply"),
    ],
)
def test_bad_rows_say_where_and_why(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        load_dataset([str(file)], tmp_path)


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.jsonl", rows(1))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(load_dataset([str(file)], tmp_path).train) == 1


def test_another_encoding_is_named(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "rows.jsonl", rows(1))
    file.write_text(file.read_text(encoding="utf-8"), encoding="utf-16")
    with pytest.raises(DatasetError, match=r"rows\.jsonl is not UTF-8 .* save it as UTF-8"):
        load_dataset([str(file)], tmp_path)


@pytest.mark.parametrize("broken", ["{", "[]", "{}", '{"splits": []}', "[" * 100_000])
def test_a_broken_export_does_not_concern_an_unrelated_file(
    broken: str, export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (export.parent / "a").mkdir()
    (export.parent / "a" / "manifest.json").write_text(broken, encoding="utf-8")
    file = write_rows(tmp_path / "rows.jsonl", rows(4))
    assert load_dataset([str(file)], export.parent).export_id is None
    assert f"{export.parent / 'a'} is passed over" in capsys.readouterr().err


@given(year=st.integers(1, 9998), number=st.integers(1, 53))
def test_a_week_is_one_the_year_has(year: int, number: int) -> None:
    # 28 December lies in the last week of its ISO year.
    if number <= date(year, 12, 28).isocalendar().week:
        assert checked_week(year, number) == (year, number)
    else:
        with pytest.raises(DatasetError, match=f"Year {year} has no ISO week 53"):
            checked_week(year, number)


SYSTEM, ASKED, REPLIED = "Eres Casiopy.", ["¿Qué tal?", "¿Y ahora?"], ["Bien.", "Igual."]
TURNS = [
    ("system", SYSTEM),
    ("user", ASKED[0]),
    ("assistant", REPLIED[0]),
    ("user", ASKED[1]),
    ("assistant", REPLIED[1]),
]
AS_MESSAGES = [{"role": role, "content": text} for role, text in TURNS]
GOOD, BAD = [{"role": "assistant", "content": "Igual."}], [{"role": "assistant", "content": "Como IA, no siento."}]
FORMS: dict[str, dict[str, object]] = {
    "chatml": {"messages": AS_MESSAGES},
    "sharegpt": {
        "conversations": [
            {"from": {"user": "human", "assistant": "gpt"}.get(role, role), "value": text} for role, text in TURNS
        ]
    },
    "alpaca": {
        "instruction": ASKED[1],
        "input": "",
        "output": REPLIED[1],
        "system": SYSTEM,
        "history": [[ASKED[0], REPLIED[0]]],
    },
    "dpo": {"prompt": AS_MESSAGES[:-1], "chosen": GOOD, "rejected": BAD},
    "kto": {"prompt": AS_MESSAGES[:-1], "completion": BAD, "label": False},
}


def lines(*values: dict[str, object]) -> str:
    return "".join(json.dumps({**value, "metadata": {"session_id": "s1"}}) + "\n" for value in values)


@pytest.mark.parametrize("form", FORMS)
def test_every_format_tells_the_same_conversation(form: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(lines(FORMS[form]), encoding="utf-8")
    dataset = load_dataset([str(file)], tmp_path)
    (read,) = dataset.train
    assert dataset.form == form
    assert read.session_id == "s1"
    wanted = AS_MESSAGES if form != "kto" else [*AS_MESSAGES[:-1], *BAD]
    assert list(read.messages) == wanted
    if isinstance(read, PairRow):
        assert [read.chosen, read.rejected] == [*GOOD, *BAD]
    if isinstance(read, JudgedRow):
        assert not read.desirable
    if form in ("dpo", "kto"):
        with pytest.raises(DatasetError, match="casiopy train-preference"):
            _ = dataset.conversations
    else:
        assert dataset.conversations == dataset.train


def test_an_alpaca_input_follows_its_instruction(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(lines({"instruction": "Traduce:", "input": "hello", "output": "hola"}), encoding="utf-8")
    assert load_dataset([str(file)], tmp_path).train[0].messages[0]["content"] == "Traduce:\nhello"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([FORMS["dpo"], FORMS["kto"]], r"rows\.jsonl:2: a row in format kto among rows in dpo"),
        ([{**FORMS["kto"], "label": "yes"}], r"rows\.jsonl:1: .*label is 'yes'"),
        ([{**FORMS["kto"], "completion": [*BAD, *BAD]}], "2 messages where one reply belongs"),
        ([{**FORMS["kto"], "completion": AS_MESSAGES[1:2]}], "take turns"),
        ([{**FORMS["dpo"], "rejected": GOOD}], "prefers nothing"),
        ([{**FORMS["dpo"], "prompt": AS_MESSAGES}], "take turns"),
        ([{"instruction": "a", "output": "b", "history": [["a"]]}], "not a row of the form"),
        ([{"conversations": [{"from": "robot", "value": "x"}]}], "take turns"),
    ],
)
def test_malformed_rows_of_every_format_say_where_and_why(
    values: list[dict[str, object]], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(lines(*values), encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        load_dataset([str(file)], tmp_path)


def test_a_manifest_says_type_skill_and_format(tmp_path: Path) -> None:
    folder = tmp_path / "exports" / "skill"
    manifest = write_export(folder, "skill", rows(4), rows(2))
    manifest.update(skill="tarot", format="chatml")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    dataset = load_dataset([str(folder)], folder.parent)
    assert (dataset.kind, dataset.skill, dataset.form) == ("skill", "tarot", "chatml")
    manifest["format"] = "dpo"
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"train\.jsonl:1: a row in format chatml among rows in dpo"):
        load_dataset([str(folder)], folder.parent)


def test_a_line_separator_inside_a_message_does_not_end_the_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row([("uno\u2028dos", "tres")]), ensure_ascii=False) + "\n", encoding="utf-8")
    assert load_dataset([str(file)], tmp_path).train[0].messages[1]["content"] == "uno\u2028dos"


def test_a_missing_dataset_names_those_that_are_there(export: Path) -> None:
    with pytest.raises(DatasetError, match=export.name):
        load_dataset(["nowhere"], export.parent)
    with pytest.raises(DatasetError, match="Pass --dataset"):
        load_dataset([], export.parent)
