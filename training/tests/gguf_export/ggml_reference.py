"""What llama.cpp computes from a GGUF file, in numpy and nothing else: written from GGUF's conventions, not from our writer.

Rotary positions turn neighbouring rows in architecture llama and the two halves of a head in qwen2 and qwen3; a LoRA adds
alpha / rank x B A to its tensor. Only what the tests need: one sequence, float32, no cache.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class GgufModel:
    """A model file, with the adapters its matrices are multiplied with."""

    def __init__(self, path: Path, adapters: tuple[Path, ...] = ()) -> None:
        self._reader = gguf.GGUFReader(path)
        self.architecture = str(self._field("general.architecture"))
        self._tensors = _tensors(self._reader)
        for adapter in adapters:
            self._add(adapter)

    def logits(self, tokens: list[int]) -> Floats:
        """(tokens, vocabulary) logits."""
        x = self._tensors["token_embd.weight"][tokens]
        for layer in range(int(self._figure("block_count"))):
            x = x + self._attention(layer, self._norm(x, f"blk.{layer}.attn_norm"))
            normed = self._norm(x, f"blk.{layer}.ffn_norm")
            gate = self._matrix(f"blk.{layer}.ffn_gate", normed)
            up = self._matrix(f"blk.{layer}.ffn_up", normed)
            x = x + self._matrix(f"blk.{layer}.ffn_down", gate / (1 + np.exp(-gate)) * up)
        head = self._tensors.get("output.weight", self._tensors["token_embd.weight"])
        result: Floats = self._norm(x, "output_norm") @ head.T
        return result

    def _attention(self, layer: int, x: Floats) -> Floats:
        heads, kv_heads = int(self._figure("attention.head_count")), int(self._figure("attention.head_count_kv"))
        size = int(self._figure("attention.key_length"))
        q, k, v = (
            self._matrix(f"blk.{layer}.attn_{part}", x).reshape(len(x), -1, size).swapaxes(0, 1) for part in "qkv"
        )
        if f"blk.{layer}.attn_q_norm.weight" in self._tensors:
            q, k = self._norm(q, f"blk.{layer}.attn_q_norm"), self._norm(k, f"blk.{layer}.attn_k_norm")
        q, k = self._rotated(q), self._rotated(k)
        k, v = (np.repeat(part, heads // kv_heads, axis=0) for part in (k, v))
        weights = q @ k.swapaxes(1, 2) / np.sqrt(size) + np.triu(np.full((len(x), len(x)), -np.inf), 1)
        weights = np.exp(weights - weights.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ v
        return self._matrix(f"blk.{layer}.attn_output", mixed.swapaxes(0, 1).reshape(len(x), -1).astype(np.float32))

    def _rotated(self, x: Floats) -> Floats:
        size = x.shape[-1]
        frequencies = float(self._figure("rope.freq_base")) ** (-np.arange(0, size, 2) / size)
        if "rope_freqs.weight" in self._tensors:
            frequencies = frequencies / self._tensors["rope_freqs.weight"]
        angles = np.arange(x.shape[1])[:, None] * frequencies
        cos, sin = np.cos(angles), np.sin(angles)
        out = np.empty_like(x)
        first, second = (
            (slice(0, None, 2), slice(1, None, 2))
            if self.architecture == "llama"
            else (slice(0, size // 2), slice(size // 2, None))
        )
        out[..., first] = x[..., first] * cos - x[..., second] * sin
        out[..., second] = x[..., first] * sin + x[..., second] * cos
        return out

    def _norm(self, x: Floats, name: str) -> Floats:
        epsilon = float(self._figure("attention.layer_norm_rms_epsilon"))
        scale = np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)
        result: Floats = x / scale * self._tensors[f"{name}.weight"]
        return result

    def _matrix(self, name: str, x: Floats) -> Floats:
        result: Floats = x @ self._tensors[f"{name}.weight"].T + self._tensors.get(f"{name}.bias", np.float32(0))
        return result

    def _add(self, adapter: Path) -> None:
        reader = gguf.GGUFReader(adapter)
        assert _contents(reader, "general.type") == "adapter"
        assert _contents(reader, "adapter.type") == "lora"
        assert _contents(reader, "general.architecture") == self.architecture
        alpha = float(_contents(reader, "adapter.lora.alpha"))
        tensors = _tensors(reader)
        for name in [name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")]:
            a, b = tensors.pop(f"{name}.lora_a"), tensors.pop(f"{name}.lora_b")
            self._tensors[name] = self._tensors[name] + alpha / len(a) * (b @ a)
        assert not tensors, f"neither lora_a nor lora_b: {sorted(tensors)}"

    def _figure(self, name: str) -> Any:
        return self._field(f"{self.architecture}.{name}")

    def _field(self, name: str) -> Any:
        return _contents(self._reader, name)


def _contents(reader: gguf.GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    assert field is not None, f"the file lacks {name}"
    return field.contents()


def _tensors(reader: gguf.GGUFReader) -> dict[str, Floats]:
    return {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        .astype(np.float32)
        .reshape([int(size) for size in reversed(tensor.shape)])
        for tensor in reader.tensors
    }


def sentencepiece_tokens(path: Path, text: str) -> list[int]:
    """Ids as llama.cpp's SentencePiece reader gives them for plain text: join the best-scored neighbours, then bytes."""
    reader = gguf.GGUFReader(path)
    tokens = _contents(reader, "tokenizer.ggml.tokens")
    scores = _contents(reader, "tokenizer.ggml.scores")
    ids = {token: index for index, token in enumerate(tokens)}
    if _contents(reader, "tokenizer.ggml.add_space_prefix") and text:
        text = " " + text
    symbols = list(text.replace(" ", "▁"))
    while True:
        pairs = [(scores[ids[a + b]], -i) for i, (a, b) in enumerate(itertools.pairwise(symbols)) if a + b in ids]
        if not pairs:
            break
        at = -max(pairs)[1]
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    found: list[int] = []
    for symbol in symbols:
        found += [ids[symbol]] if symbol in ids else [ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]
    return found
