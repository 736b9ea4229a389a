"""A SentencePiece tokenizer, as transformers keeps Mistral's, reads the same tokens from the GGUF file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from persona_training.gguf_export.architecture import GgufError
from persona_training.gguf_export.writing import write_gguf
from tokenizers import Tokenizer

from .ggml_reference import sentencepiece_tokens

SaveModel = Callable[..., Path]
# Best first, as SentencePiece ranks them.
PIECES: list[str] = [
    "▁h",
    "la",
    "ol",
    "a.",
    "▁¿",
    "qu",
    "é?",
    "▁¿qu",
    "ue",
    "▁qu",
    "▁que",
    "en",
    "▁m",
    "or",
    "al",
    "tal",
    "mor",
    "mort",
    "mortal",
    "▁mortal",
    "▁▁",
    "▁c",
    "om",
    "com",
    "▁com",
    "ón",
    "ión",
    "ción",
]
SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
CHARACTERS = sorted({character for piece in PIECES for character in piece} | set("bdxz,!"))
TEMPLATE = "{{ bos_token }}{% for m in messages %}[INST] {{ m['content'] }}[/INST]{% endfor %}"


def tokenizer_json() -> dict[str, Any]:
    """What transformers writes for such a tokenizer: every pair that makes a piece is a merge, the best piece first."""
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES, *CHARACTERS]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    known = {*PIECES, *CHARACTERS}
    merges = [
        [piece[:cut], piece[cut:]]
        for piece in PIECES
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]
    added = [
        {"id": index, "content": token, "special": True, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for index, token in enumerate(SPECIAL)
    ]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    model = {"type": "BPE", "vocab": vocabulary, "merges": merges, "byte_fallback": True, "unk_token": "<unk>"}
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {**model, "fuse_unk": True},
    }


def save(folder: Path, raw: dict[str, Any], save_random_model: SaveModel) -> Path:
    save_random_model(folder, kind="mistral")
    (folder / "tokenizer.json").write_text(json.dumps(raw, ensure_ascii=False), encoding="utf-8")
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, save_random_model: SaveModel) -> tuple[Tokenizer, Path]:
    folder = save(tmp_path_factory.mktemp("mistral"), tokenizer_json(), save_random_model)
    path = write_gguf(folder, folder / "m.gguf", name="m").path
    return Tokenizer.from_file(str(folder / "tokenizer.json")), path


@pytest.mark.parametrize(
    "text", ["hola. ¿qué quieres, mortal?", "comunicación", "  dos", "emoji 🎮\n", "mortalmortal", "x"]
)
def test_text_gives_the_same_tokens(written: tuple[Tokenizer, Path], text: str) -> None:
    ours, path = written
    assert sentencepiece_tokens(path, text) == ours.encode(text, add_special_tokens=False).ids


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="holaqueémrtcn¿?. ñ", min_size=1, max_size=24))
def test_any_text_gives_the_same_tokens(written: tuple[Tokenizer, Path], text: str) -> None:
    ours, path = written
    assert sentencepiece_tokens(path, text) == ours.encode(text, add_special_tokens=False).ids


def test_bytes_specials_and_scores_are_named(written: tuple[Tokenizer, Path]) -> None:
    reader = gguf.GGUFReader(written[1])
    field = {name: reader.get_field(f"tokenizer.ggml.{name}") for name in ("model", "token_type", "scores", "merges")}
    contents = {name: found.contents() for name, found in field.items() if found is not None}
    assert contents["model"] == "llama"
    assert "merges" not in contents
    kinds = contents["token_type"]
    assert kinds[0] == gguf.TokenType.UNKNOWN
    assert kinds[1:5] == [gguf.TokenType.CONTROL] * 4
    assert set(kinds[5:261]) == {gguf.TokenType.BYTE}
    best = contents["scores"][261 : 261 + len(PIECES)]
    assert best == [-float(rank) for rank in range(len(PIECES))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw["model"]["merges"].pop(), "are not merged to 'ción'|are not merged to"),
        (lambda raw: raw["model"]["merges"].append(["q", "u"]), "that make 'qu' are not together"),
        (lambda raw: raw.update(normalizer={"type": "NFKC"}), r"spaces are kept by \['NFKC'\]"),
        (lambda raw: raw.update(normalizer=None, pre_tokenizer={"type": "Whitespace"}), "kept by Whitespace"),
    ],
)
def test_anything_but_sentencepieces_own_form_is_refused(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path, save_random_model: SaveModel
) -> None:
    raw = tokenizer_json()
    change(raw)
    folder = save(tmp_path / "m", raw, save_random_model)
    with pytest.raises(GgufError, match=message):
        write_gguf(folder, tmp_path / "m.gguf", name="m")


@pytest.mark.parametrize(("scheme", "adds"), [("always", True), ("first", False), ("never", False)])
def test_a_space_before_the_text_is_told_as_chats_need_it(
    scheme: str, adds: bool, tmp_path: Path, save_random_model: SaveModel
) -> None:
    step = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}
    raw = tokenizer_json() | {"normalizer": None, "pre_tokenizer": step}
    folder = save(tmp_path / "m", raw, save_random_model)
    field = gguf.GGUFReader(write_gguf(folder, tmp_path / "m.gguf", name="m").path).get_field(
        "tokenizer.ggml.add_space_prefix"
    )
    assert field is not None
    assert field.contents() is adds
