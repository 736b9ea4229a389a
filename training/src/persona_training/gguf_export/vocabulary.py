"""The tokenizer inside the GGUF file: byte-level BPE or SentencePiece from tokenizer.json, and which tokens are special."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf

from persona_training.gguf_export.architecture import GgufError, read_json
from persona_training.gguf_export.sentencepiece import adds_space, is_sentencepiece, scores, types_of

# How llama.cpp names the ways of cutting text before BPE; keyed by the regular expression in tokenizer.json. A wrong name
# gives other tokens without any error, so an unknown expression is refused.
SPLITS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": (
        "llama-bpe"
    ),
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": (
        "qwen2"
    ),
}


@dataclass(frozen=True)
class Vocabulary:
    """What goes under `tokenizer.ggml.*`; `types` are gguf.TokenType values, one per token.

    A byte-level BPE has merges and the name of its way of cutting (`pre`); a SentencePiece vocabulary has scores.
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    bos: int | None
    eos: int
    pad: int | None
    adds_bos: bool
    scores: tuple[float, ...] = ()
    adds_space: bool = False


def read_vocabulary(model_dir: Path, vocab_size: int) -> Vocabulary:
    """The tokenizer of a model folder, padded with unused tokens up to the model's `vocab_size`.

    Raises:
        GgufError: no tokenizer.json, neither a byte-level BPE nor SentencePiece's, more tokens than the model has rows, or
            no end token.
    """
    path = model_dir / "tokenizer.json"
    if not path.is_file():
        raise GgufError(f"No tokenizer.json in {model_dir}: save the fast tokenizer beside the model.")
    raw = read_json(path)
    model = raw.get("model")
    if not isinstance(model, dict):
        raise GgufError(f"{path} holds no tokenizer: save the fast tokenizer beside the model.")
    if model.get("type") != "BPE":
        raise GgufError(
            f"The tokenizer is a {model.get('type')}; only a byte-level BPE or SentencePiece's can be carried into GGUF."
        )
    pieces = is_sentencepiece(raw)
    pre = "default" if pieces else _pre_tokenizer(raw)
    tokens, types = _tokens(model["vocab"], raw.get("added_tokens") or [], vocab_size)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    special = _special_ids(model_dir, {token: index for index, token in enumerate(tokens)})
    eos = special["eos"]
    if eos is None:
        raise GgufError(f"The tokenizer in {model_dir} names no end token (eos_token), so a reply could never stop.")
    return Vocabulary(
        model="llama" if pieces else "gpt2",
        pre=pre,
        tokens=tokens,
        types=types_of(tokens, types, model.get("unk_token")) if pieces else types,
        merges=[] if pieces else merges,
        scores=tuple(scores(tokens, types, merges)) if pieces else (),
        adds_space=pieces and adds_space(raw),
        bos=special["bos"],
        eos=eos,
        pad=special["pad"],
        adds_bos=_adds_bos(path, special["bos"]),
    )


def _pre_tokenizer(raw: dict[str, Any]) -> str:
    steps = raw.get("pre_tokenizer") or {}
    parts: list[dict[str, Any]] = steps.get("pretokenizers", []) if steps.get("type") == "Sequence" else [steps]
    byte_level = [part for part in parts if part.get("type") == "ByteLevel"]
    if not byte_level or byte_level[-1].get("add_prefix_space"):
        raise GgufError(
            "The tokenizer is not byte-level (or adds a space before the text), so it cannot be carried into GGUF."
        )
    others = [part for part in parts if part.get("type") != "ByteLevel"]
    normalizer = (raw.get("normalizer") or {}).get("type")
    uses_regex = bool(byte_level[-1].get("use_regex", True))
    if not others and uses_regex and normalizer is None:
        return "gpt-2"
    if len(others) == 1 and uses_regex and normalizer is None and others[0].get("type") == "Digits":
        if others[0].get("individual_digits"):
            return "smollm"
    elif len(others) == 1 and not uses_regex and others[0].get("type") == "Split":
        name = SPLITS.get(str(others[0].get("pattern", {}).get("Regex")))
        if name is not None and normalizer in ({None, "NFC"} if name == "qwen2" else {None}):
            return name
    raise GgufError(
        "This tokenizer cuts text in a way with no name in GGUF (pre-tokenizer "
        f"{[part.get('type') for part in parts]}, normalizer {normalizer}); GPT-2's, SmolLM's, Llama 3's and Qwen2's are known."
    )


def _tokens(vocab: dict[str, int], added: list[dict[str, Any]], vocab_size: int) -> tuple[list[str], list[int]]:
    by_id: dict[int, tuple[str, int]] = {index: (token, gguf.TokenType.NORMAL) for token, index in vocab.items()}
    for token in added:
        kind = gguf.TokenType.CONTROL if token.get("special") else gguf.TokenType.USER_DEFINED
        by_id[int(token["id"])] = (str(token["content"]), kind)
    if max(by_id) >= vocab_size:
        raise GgufError(
            f"The tokenizer knows token {max(by_id)} but the model has only {vocab_size} rows: they do not belong together."
        )
    padded = [by_id.get(index, (f"[PAD{index}]", gguf.TokenType.UNUSED)) for index in range(vocab_size)]
    return [token for token, _ in padded], [int(kind) for _, kind in padded]


def _special_ids(model_dir: Path, ids: dict[str, int]) -> dict[str, int | None]:
    path = model_dir / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    found: dict[str, int | None] = {}
    for role in ("bos", "eos", "pad"):
        token = config.get(f"{role}_token")
        text = token.get("content") if isinstance(token, dict) else token
        found[role] = ids.get(text) if isinstance(text, str) else None
    return found


def _adds_bos(path: Path, bos: int | None) -> bool:
    from tokenizers import Tokenizer

    first = Tokenizer.from_file(str(path)).encode("a").ids[:1]
    return bos is not None and first == [bos]
