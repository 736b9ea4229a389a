"""Cards of every version, as JSON and inside a picture; what is no card says what to do."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from persona_training.probes.card import read_card
from persona_training.probes.errors import ProbesError
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .conftest import card, exchanges


def as_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def as_png(path: Path, **chunks: Any) -> Path:
    texts = PngInfo()
    for name, content in chunks.items():
        text = content if isinstance(content, str) else base64.b64encode(json.dumps(content).encode()).decode()
        texts.add_text(name, text)
    Image.new("RGB", (2, 2)).save(path, pnginfo=texts)
    return path


def test_a_card_fills_in_its_placeholders(tmp_path: Path) -> None:
    read = read_card(as_json(tmp_path / "mika.json", card()), "chat")
    assert read.name == "Mika Fox"
    assert read.exchanges == tuple(exchanges())
    assert read.greetings[0] == "*yawns* You woke me. Again."
    assert len(read.greetings) == 2
    assert "Mika Fox was born in Kyoto" in read.facts[0]
    assert read.facts[-1] == "Her rival is the badger Tanuki."


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_is_the_same_character(tmp_path: Path, version: int) -> None:
    whole = card()
    content = whole["data"] if version == 1 else whole | {"spec": f"chara_card_v{version}"}
    plain = read_card(as_json(tmp_path / "mika.json", content), "chat")
    chunk = {"ccv3" if version == 3 else "chara": content}
    assert read_card(as_png(tmp_path / "mika.png", **chunk), "chat") == plain == read_card_of_v2(tmp_path)


def read_card_of_v2(folder: Path) -> Any:
    return read_card(as_json(folder / "again.json", card()), "chat")


def test_of_two_cards_in_a_picture_the_newer_one_is_read(tmp_path: Path) -> None:
    path = as_png(tmp_path / "mika.png", chara=card(name="Old"), ccv3=card(name="New"))
    assert read_card(path, "chat").name == "New"


def test_half_a_character_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "mika.json"
    path.write_text('{"name": "Mika\\ud83d", "first_mes": "Hm\\ud83d.", "description": ["odd"]}', encoding="utf-8")
    assert read_card(path, "chat").greetings == ("Hm.",)


def test_examples_in_other_hands_writing(tmp_path: Path) -> None:
    lines = [
        "<start>",
        "<USER>: Hi {{char}}.",
        "<BOT>: Hello.",
        "Sit.",
        "",
        "{{char}}: Twice.",
        "Mika Fox: Thrice.",
        "{{user}}: And?",
    ]
    text = "\r\n".join(lines)
    read = read_card(as_json(tmp_path / "mika.json", card(mes_example=text)), "chat")
    assert read.exchanges == (("Hi Mika Fox.", "Hello.\nSit."),)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.json", None, "cannot be read"),
        ("mika.json", b"{", "not JSON"),
        ("mika.json", b"\xff\xfe", "neither a PNG nor UTF-8"),
        ("mika.json", b'{"name": "M", "description": ' + b'{"a":' * 3000 + b"1" + b"}" * 3001, "nested too deeply"),
        ("mika.json", b"[]", "it has no name"),
        ("mika.json", b'{"data": {"name": " "}}', "it has no name"),
        ("mika.png", b"\x89PNG\r\n\x1a\n\x00\x00", "is damaged"),
    ],
)
def test_what_is_no_card_says_what_to_do(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ProbesError, match=said):
        read_card(path, "chat")


@pytest.mark.parametrize(
    ("chunks", "said"),
    [({}, "picture without a card"), ({"chara": "no base64"}, "is damaged"), ({"chara": []}, "no name")],
)
def test_pictures_without_a_card(tmp_path: Path, chunks: dict[str, Any], said: str) -> None:
    with pytest.raises(ProbesError, match=said):
        read_card(as_png(tmp_path / "mika.png", **chunks), "chat")
