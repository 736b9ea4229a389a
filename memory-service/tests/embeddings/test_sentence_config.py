"""What model folders declare is honoured as sentence-transformers honours it, or refused by name."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_service.embeddings import model_folder, openvino_model, sentence_transformer
from memory_service.embeddings.openvino_model import OpenVinoEmbedder
from memory_service.embeddings.sentence_config import NotUnderstood, declared_prompts, read
from safetensors.numpy import load_file, save_file

TEXTS = ["Un GATO en la casa", "un gato en la casa", "", "river " * 100, "¿Qué? 🐱"]


@dataclass
class Folder:
    """A small BERT sentence encoder with random weights."""

    path: Path

    def change(self, file: str, **values: Any) -> None:
        """Set entries of a JSON file."""
        content = json.loads((self.path / file).read_text()) if (self.path / file).is_file() else {}
        (self.path / file).write_text(json.dumps(content | values))

    def rewrite_weights(self, change: Callable[[str, np.ndarray], tuple[str, np.ndarray]]) -> None:
        file = self.path / "model.safetensors"
        save_file(dict(change(name, values) for name, values in load_file(file).items()), file, {"format": "pt"})

    def load(self) -> OpenVinoEmbedder:
        found = model_folder.find(str(self.path))
        assert found is not None
        return openvino_model.load(found, 1, "f32")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Folder:
    """A copy to change."""
    shutil.copytree(original, tmp_path / "model")
    return Folder(tmp_path / "model")


def without_lower_case(folder: Folder) -> None:
    tokenizer = json.loads((folder.path / "tokenizer.json").read_text())
    folder.change("tokenizer.json", normalizer=tokenizer["normalizer"] | {"lowercase": False})
    folder.change("tokenizer_config.json", do_lower_case=False)


CHANGES: dict[str, Callable[[Folder], None]] = {
    "as it is": lambda folder: None,
    "first token": lambda folder: folder.change("1_Pooling/config.json", pooling_mode_cls_token=True),
    "first token, newer": lambda folder: folder.change("1_Pooling/config.json", pooling_mode="cls"),
    "short window": lambda folder: folder.change("sentence_bert_config.json", max_seq_length=8),
    "tokenizer's window": lambda folder: folder.change("tokenizer_config.json", model_max_length=9),
    "upper case counts": without_lower_case,
    "lower case first": lambda folder: (
        without_lower_case(folder) or folder.change("sentence_bert_config.json", do_lower_case=True)  # type: ignore[func-returns-value]
    ),
    "words before": lambda folder: folder.change(
        "config_sentence_transformers.json", prompts={"query": "ask: ", "document": "tell: "}
    ),
    "default words": lambda folder: folder.change(
        "config_sentence_transformers.json", prompts={"clustering": "sort: "}, default_prompt_name="clustering"
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_folder_declares_is_honoured(folder: Folder, change: str) -> None:
    CHANGES[change](folder)
    ours, theirs = folder.load(), sentence_transformer.load(str(folder.path), 1)
    assert ours.revision == theirs.revision
    for kind in ("memory", "question"):
        made = ours.embed(TEXTS, kind)
        assert np.sum(made * theirs.embed(TEXTS, kind), axis=1).min() >= 0.9999
        assert made[0] @ made[3] < 0.99  # the weights tell texts apart


def test_a_network_with_a_head_is_the_same_network(folder: Folder) -> None:
    before = folder.load().embed(TEXTS, "memory")
    folder.rewrite_weights(lambda name, values: (f"bert.{name}", values))
    assert folder.load().embed(TEXTS, "memory") == pytest.approx(before, abs=1e-6)


def test_weights_in_half_precision_are_taken(folder: Folder) -> None:
    before = folder.load().embed(TEXTS, "memory")
    folder.rewrite_weights(lambda name, values: (name, values.astype(np.float16)))
    assert np.sum(folder.load().embed(TEXTS, "memory") * before, axis=1).min() >= 0.999


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("config.json", {"model_type": "mpnet"}, "model_type in config.json is 'mpnet'"),
        ("config.json", {"hidden_act": "relu"}, "hidden_act in config.json is 'relu'"),
        ("config.json", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("config.json", {"num_attention_heads": 5}, "5 attention heads do not divide 32"),
        ("config.json", {"num_hidden_layers": "two"}, "config.json lacks a usable"),
        ("config.json", {"num_hidden_layers": 3}, "model.safetensors holds no encoder.layer.2"),
        ("config.json", {"max_position_embeddings": 512}, "it has 64 position embeddings for"),
        ("sentence_bert_config.json", {"max_seq_length": 128}, "max_seq_length 128 does not fit 64"),
        ("sentence_bert_config.json", {"query_length": 12}, "query_length"),
        ("sentence_bert_config.json", {"something": 1}, "something in sentence_bert_config.json is not understood"),
        ("sentence_roberta_config.json", {}, "sentence_roberta_config.json is another architecture's"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "its pooling is max"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}, "its pooling is mean, cls"),
        ("1_Pooling/config.json", {"include_prompt": False}, "leaves the prompt out"),
        ("config_sentence_transformers.json", {"truncate_dim": 16}, "truncate_dim"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "it is a SparseEncoder"),
        ("tokenizer_config.json", {"do_lower_case": False}, "differ in do_lower_case"),
        ("tokenizer.json", {"model": {"type": "?"}}, "tokenizer.json cannot be read"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(folder: Folder, file: str, values: Any, says: str) -> None:
    folder.change(file, **values)
    with pytest.raises(NotUnderstood, match=says):
        folder.load()


@pytest.mark.parametrize(
    ("types", "says"),
    [
        (["Transformer", "Pooling", "Dense"], "its modules are Transformer, Pooling, Dense"),
        (["StaticEmbedding"], "its modules are StaticEmbedding"),
    ],
)
def test_other_modules_are_refused(folder: Folder, types: list[str], says: str) -> None:
    modules = [
        {"idx": place, "path": "", "type": f"sentence_transformers.models.{one}"} for place, one in enumerate(types)
    ]
    (folder.path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(NotUnderstood, match=says):
        read(folder.path, "m")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("config.json", None, "config.json is missing"),
        ("modules.json", None, "modules.json is missing"),
        ("modules.json", "{}", "modules.json holds no list"),
        ("config.json", "[]", "config.json holds no object"),
        ("1_Pooling/config.json", "{", "config.json cannot be read"),
        ("model.safetensors", None, "model.safetensors is missing"),
        ("model.safetensors", "junk", "model.safetensors cannot be read"),
    ],
)
def test_broken_folders_are_refused(folder: Folder, file: str, content: str | None, says: str) -> None:
    (folder.path / file).unlink()
    if content is not None:
        (folder.path / file).write_text(content)
    with pytest.raises(NotUnderstood, match=says):
        folder.load()


def test_weights_in_whole_numbers_are_refused(folder: Folder) -> None:
    folder.rewrite_weights(lambda name, values: (name, values.astype(np.int8)))
    with pytest.raises(NotUnderstood, match="is int8"):
        folder.load()


@pytest.mark.parametrize(
    ("declared", "default", "name", "prompts"),
    [
        ({}, None, "some/model", {"memory": "", "question": ""}),
        ({"query": "q: ", "document": None}, None, "some/model", {"memory": "", "question": "q: "}),
        ({"query": "q: ", "any": "a: "}, "any", "some/model", {"memory": "a: ", "question": "q: "}),
        ({"query": "", "document": ""}, None, "intfloat/e5-small", {"memory": "passage: ", "question": "query: "}),
        ({"query": "q: "}, None, "intfloat/e5-small", {"memory": "", "question": "q: "}),
    ],
)
def test_the_words_before_a_text(
    declared: dict[str, str | None], default: str | None, name: str, prompts: dict[str, str]
) -> None:
    assert declared_prompts(declared, default, name) == prompts
