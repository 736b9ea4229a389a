"""A BERT sentence encoder as an OpenVINO model, made of its weights: from token ids to one vector of length 1 per text.

The architecture is that of Devlin et al., BERT (NAACL 2019), with the pooling of Reimers and Gurevych, Sentence-BERT
(EMNLP 2019).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from memory_service.embeddings.sentence_config import BertShape, Pooling
from memory_service.embeddings.silent_openvino import openvino, ops

Weights = Mapping[str, NDArray[np.float32]]

# Below any length a vector has: keeps a division by zero out.
_SMALLEST = 1e-30


def sentence_encoder(shape: BertShape, weights: Weights, pooling: Pooling) -> openvino.Model:
    """A BERT encoder with its pooling; the vectors it makes have length 1.

    It takes token ids (int64, texts × width) and how many of them are each text's own (int64, texts × 1), and gives
    vectors (float32, texts × dimension).

    Args:
        weights: named as in transformers' `BertModel`, e.g. `encoder.layer.0.output.dense.weight`.

    Raises:
        KeyError: a weight is missing.
        RuntimeError: the weights' shapes do not fit together.
    """
    tokens = ops.parameter([-1, -1], np.int64, "tokens")
    lengths = ops.parameter([-1, 1], np.int64, "lengths")
    width = ops.gather(ops.shape_of(tokens), _numbers(1), _number(0))
    places = ops.range(_number(0), ops.squeeze(width, _number(0)), _number(1), "i64")
    own = ops.less(ops.unsqueeze(places, _number(0)), lengths)
    attended = ops.unsqueeze(own, _numbers(1, 2))  # by every head and from every token
    hidden = _embedded(shape, weights, tokens, width)
    for layer in range(shape.layers):
        hidden = _layer(shape, weights, f"encoder.layer.{layer}", hidden, attended)
    pooled = _sum(hidden, own) if pooling == "mean" else ops.gather(hidden, _number(0), _number(1))
    vectors = ops.normalize_l2(pooled, _numbers(1), _SMALLEST, "max")
    return openvino.Model([vectors], [tokens, lengths], "sentence_encoder")


def _embedded(shape: BertShape, weights: Weights, tokens: openvino.Node, width: openvino.Node) -> openvino.Node:
    """Word, position and type embeddings. A text alone has one type, so its vector joins the positions'."""
    words = ops.gather(_constant(weights["embeddings.word_embeddings.weight"]), tokens, _number(0))
    types = weights["embeddings.token_type_embeddings.weight"][0]
    positions = _constant(weights["embeddings.position_embeddings.weight"] + types)
    placed = ops.slice(positions, _numbers(0), width, _numbers(1), _numbers(0))
    return _normalised(shape, weights, "embeddings.LayerNorm", ops.add(words, placed))


def _layer(
    shape: BertShape, weights: Weights, name: str, hidden: openvino.Node, attended: openvino.Node
) -> openvino.Node:
    """Self-attention and feed-forward network, each added to what came in and normalised."""
    query, key, value = (
        _by_head(shape, _dense(weights, f"{name}.attention.self.{part}", hidden)) for part in ("query", "key", "value")
    )
    heads = ops.scaled_dot_product_attention(query, key, value, attended)
    joined = ops.reshape(ops.transpose(heads, _numbers(0, 2, 1, 3)), _numbers(0, 0, -1), special_zero=True)
    added = ops.add(_dense(weights, f"{name}.attention.output.dense", joined), hidden)
    hidden = _normalised(shape, weights, f"{name}.attention.output.LayerNorm", added)
    widened = ops.gelu(_dense(weights, f"{name}.intermediate.dense", hidden), "erf")
    added = ops.add(_dense(weights, f"{name}.output.dense", widened), hidden)
    return _normalised(shape, weights, f"{name}.output.LayerNorm", added)


def _by_head(shape: BertShape, values: openvino.Node) -> openvino.Node:
    """(texts, width, dimension) → (texts, heads, width, a head's dimension)."""
    split = ops.reshape(values, _numbers(0, 0, shape.heads, -1), special_zero=True)
    return ops.transpose(split, _numbers(0, 2, 1, 3))


def _dense(weights: Weights, name: str, values: openvino.Node) -> openvino.Node:
    product = ops.matmul(values, _constant(weights[f"{name}.weight"]), transpose_a=False, transpose_b=True)
    return ops.add(product, _constant(weights[f"{name}.bias"]))


def _normalised(shape: BertShape, weights: Weights, name: str, values: openvino.Node) -> openvino.Node:
    """Layer normalisation."""
    centred = ops.mvn(
        values, _numbers(-1), normalize_variance=True, eps=shape.layer_norm_epsilon, eps_mode="inside_sqrt"
    )
    return ops.add(ops.multiply(centred, _constant(weights[f"{name}.weight"])), _constant(weights[f"{name}.bias"]))


def _sum(hidden: openvino.Node, own: openvino.Node) -> openvino.Node:
    """The sum over each text's own tokens: its direction is the mean's."""
    counted = ops.unsqueeze(ops.convert(own, "f32"), _number(2))
    return ops.reduce_sum(ops.multiply(hidden, counted), _numbers(1))


def _constant(values: NDArray[np.float32]) -> openvino.Node:
    return ops.constant(values)


def _number(value: int) -> openvino.Node:
    return ops.constant(value, np.int64)


def _numbers(*values: int) -> openvino.Node:
    return ops.constant(list(values), np.int64)
