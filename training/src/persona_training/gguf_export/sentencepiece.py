"""A SentencePiece vocabulary (Mistral's, Llama 2's) out of the tokenizer.json that transformers makes of it.

transformers keeps such a tokenizer as BPE merges with byte fallback; GGUF wants SentencePiece's own form, a score per piece:
neighbours whose union is a piece are joined, the highest score first. Both cut text alike exactly when the merges are all
the pairs that make a piece, piece by piece in order, as transformers' conversion writes them. That is checked, and anything
else is refused: a file with other merges would load, and read other tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import gguf

from persona_training.gguf_export.architecture import GgufError

SPACE = "▁"
_BYTE = re.compile(r"^<0x[0-9A-F]{2}>$")
_REFUSED = "The tokenizer falls back to bytes, but {}; only SentencePiece's own form can be carried into GGUF."


def is_sentencepiece(raw: dict[str, Any]) -> bool:
    """Whether a tokenizer.json holds BPE merges with byte fallback."""
    return raw["model"].get("type") == "BPE" and bool(raw["model"].get("byte_fallback"))


def adds_space(raw: dict[str, Any]) -> bool:
    """Whether text begins with a space of the tokenizer's own, as GGUF's reader adds it: after every special token too.

    A tokenizer that adds one at the very beginning alone counts as no: a chat begins with a special token, so it never does.

    Raises:
        GgufError: spaces are written in another way than SentencePiece does.
    """
    steps = raw.get("normalizer") or {}
    parts: list[dict[str, Any]] = (
        steps.get("normalizers", []) if steps.get("type") == "Sequence" else [steps] * bool(steps)
    )
    kinds = [part.get("type") for part in parts]
    replaces = [part for part in parts if part.get("type") == "Replace"]
    pre = raw.get("pre_tokenizer") or {}
    if kinds in (["Prepend", "Replace"], ["Replace"]) and not pre:
        if replaces[0].get("pattern") == {"String": " "} and replaces[0].get("content") == SPACE:
            return "Prepend" in kinds
    elif (
        not parts and pre.get("type") == "Metaspace" and pre.get("replacement") == SPACE and not pre.get("split", True)
    ):
        return pre.get("prepend_scheme") == "always"
    raise GgufError(_REFUSED.format(f"its spaces are kept by {kinds or pre.get('type')}"))


def scores(tokens: Sequence[str], types: Sequence[int], merges: Sequence[str]) -> list[float]:
    """A score per token: the earlier its merges, the higher; pieces that no merge makes come last.

    Raises:
        GgufError: the merges are not SentencePiece's.
    """
    order: dict[str, int] = {}
    previous = ""
    for merge in merges:
        left, _, right = merge.partition(" ")
        piece = left + right
        if piece != previous and piece in order:
            raise GgufError(_REFUSED.format(f"the merges that make {piece!r} are not together"))
        order.setdefault(piece, len(order))
        previous = piece
    _require_all_pairs(tokens, types, set(merges))
    return [-float(order.get(token, len(order))) for token in tokens]


def types_of(tokens: Sequence[str], types: Sequence[int], unknown: str | None) -> list[int]:
    """The token types with bytes and the unknown token named as such."""

    def kind(token: str, given: int) -> int:
        if token == unknown:
            return int(gguf.TokenType.UNKNOWN)
        return int(gguf.TokenType.BYTE) if _BYTE.match(token) else given

    return [kind(token, given) for token, given in zip(tokens, types, strict=True)]


def _require_all_pairs(tokens: Sequence[str], types: Sequence[int], merges: set[str]) -> None:
    pieces = {
        token
        for token, kind in zip(tokens, types, strict=True)
        if kind == gguf.TokenType.NORMAL and not _BYTE.match(token)
    }
    for piece in pieces:
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in pieces and right in pieces and f"{left} {right}" not in merges:
                raise GgufError(_REFUSED.format(f"{left!r} and {right!r} are not merged to {piece!r}"))
