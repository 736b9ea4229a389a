"""A BERT sentence encoder as an ONNX graph, made of its weights: from token ids to one vector of length 1 per text.

The architecture is that of Devlin et al., BERT (NAACL 2019), with the pooling of Reimers and Gurevych, Sentence-BERT
(EMNLP 2019). Fused operators of ONNX Runtime (domain com.microsoft) stand for attention and for the sums before a layer
normalisation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from memory_service.embeddings.sentence_config import BertShape, Pooling

Weights = Mapping[str, NDArray[np.float32]]

# What the graph takes and gives: int64 (texts, tokens), int32 lengths (texts,) and float32 (texts, dimension).
TOKENS, LENGTHS, VECTORS = "tokens", "lengths", "vectors"

# LayerNormalization came with 17, Gelu with 20.
_OPSET, _IR_VERSION = 20, 10
_FUSED = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Graph:
    """A model whose weights lie beside it, so that a session takes them without another copy.

    Attributes:
        model: the serialised graph; each weight is declared as lying elsewhere.
        weights: the weights by name, as the graph wants them.
    """

    model: bytes
    weights: dict[str, NDArray[np.float32]]


class _Builder:
    """Collects nodes and weights. Its methods return the name of what they compute."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[np.float32]] = {}
        self.constants: dict[str, onnx.TensorProto] = {}

    def weight(self, name: str, values: NDArray[np.float32]) -> str:
        self.weights[name] = np.ascontiguousarray(values, np.float32)
        return name

    def constant(self, value: int | list[int]) -> str:
        name = f"constant_{value}"
        self.constants[name] = numpy_helper.from_array(np.array(value, np.int64), name)
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output


def sentence_encoder(shape: BertShape, weights: Weights, pooling: Pooling) -> Graph:
    """The graph of a BERT encoder with its pooling; the vectors it makes have length 1.

    Args:
        weights: named as in transformers' `BertModel`, e.g. `encoder.layer.0.output.dense.weight`.

    Raises:
        KeyError: a weight is missing.
    """
    build = _Builder()
    hidden = _embedded(build, shape, weights)
    for layer in range(shape.layers):
        hidden = _layer(build, shape, weights, f"encoder.layer.{layer}", hidden)
    pooled = _mean(build, hidden) if pooling == "mean" else _first(build, hidden)
    build.nodes.append(helper.make_node("LpNormalization", [pooled], [VECTORS], axis=-1, p=2))
    return Graph(_serialised(build, shape), build.weights)


def _embedded(build: _Builder, shape: BertShape, weights: Weights) -> str:
    """Word, position and type embeddings. A text alone has one type, so its vector joins the positions'."""
    words = build.weight("words", weights["embeddings.word_embeddings.weight"])
    types = weights["embeddings.token_type_embeddings.weight"][0]
    positions = build.weight("positions", weights["embeddings.position_embeddings.weight"] + types)
    width = build.add("Shape", TOKENS, start=1, end=2)
    placed = build.add("Slice", positions, build.constant([0]), width, build.constant([0]))
    summed = build.add("Add", build.add("Gather", words, TOKENS), placed)
    return _normalised(build, shape, weights, "embeddings.LayerNorm", summed)


def _layer(build: _Builder, shape: BertShape, weights: Weights, name: str, hidden: str) -> str:
    """Self-attention and feed-forward network, each added to what came in and normalised."""
    parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    joined = np.concatenate([weights[f"{part}.weight"] for part in parts]).T
    bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
    attended = build.add(
        "Attention", hidden, build.weight(f"{name}.qkv.weight", joined), build.weight(f"{name}.qkv.bias", bias), LENGTHS,
        domain=_FUSED, num_heads=shape.heads,
    )  # fmt: skip
    attended = _dense(build, weights, f"{name}.attention.output.dense", attended)
    hidden = _normalised(build, shape, weights, f"{name}.attention.output.LayerNorm", attended, beside=hidden)
    widened = build.add("Gelu", _dense(build, weights, f"{name}.intermediate.dense", hidden))
    narrowed = _dense(build, weights, f"{name}.output.dense", widened)
    return _normalised(build, shape, weights, f"{name}.output.LayerNorm", narrowed, beside=hidden)


def _dense(build: _Builder, weights: Weights, name: str, values: str) -> str:
    product = build.add("MatMul", values, build.weight(f"{name}.weight", weights[f"{name}.weight"].T))
    return build.add("Add", product, build.weight(f"{name}.bias", weights[f"{name}.bias"]))


def _normalised(
    build: _Builder, shape: BertShape, weights: Weights, name: str, values: str, beside: str | None = None
) -> str:
    """Layer normalisation of `values`, or of their sum with `beside`."""
    scale = build.weight(f"{name}.weight", weights[f"{name}.weight"])
    bias = build.weight(f"{name}.bias", weights[f"{name}.bias"])
    summed = values if beside is None else build.add("Add", values, beside)
    return build.add("LayerNormalization", summed, scale, bias, axis=-1, epsilon=shape.layer_norm_epsilon)


def _mean(build: _Builder, hidden: str) -> str:
    """The mean over each text's own tokens."""
    width = build.add("Squeeze", build.add("Shape", TOKENS, start=1, end=2))
    counted = build.add("Range", build.constant(0), width, build.constant(1))
    column = build.constant([1])
    lengths = build.add("Unsqueeze", build.add("Cast", LENGTHS, to=TensorProto.INT64), column)
    own = build.add("Cast", build.add("Less", counted, lengths), to=TensorProto.FLOAT)
    row = build.add("Unsqueeze", own, column)
    summed = build.add("Squeeze", build.add("MatMul", row, hidden), column)
    return build.add("Div", summed, build.add("Cast", lengths, to=TensorProto.FLOAT))


def _first(build: _Builder, hidden: str) -> str:
    """The vector of each text's first token."""
    return build.add("Gather", hidden, build.constant(0), axis=1)


def _serialised(build: _Builder, shape: BertShape) -> bytes:
    tokens = helper.make_tensor_value_info(TOKENS, TensorProto.INT64, ["texts", "width"])
    lengths = helper.make_tensor_value_info(LENGTHS, TensorProto.INT32, ["texts"])
    vectors = helper.make_tensor_value_info(VECTORS, TensorProto.FLOAT, ["texts", shape.dimension])
    initializers = [*build.constants.values(), *_declared(build.weights)]
    graph = helper.make_graph(build.nodes, "sentence_encoder", [tokens, lengths], [vectors], initializers)
    model = helper.make_model(
        graph,
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)],
    )
    serialised: bytes = model.SerializeToString()
    return serialised


def _declared(weights: Mapping[str, NDArray[np.float32]]) -> Iterable[onnx.TensorProto]:
    """Each weight's name, type and shape, without its values."""
    tensors = []
    for name, values in weights.items():
        tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(values.dtype), dims=values.shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="in-memory")
        tensors.append(tensor)
    return tensors
