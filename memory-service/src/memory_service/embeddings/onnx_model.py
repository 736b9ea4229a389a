"""BERT sentence encoders on ONNX Runtime: the vectors of sentence-transformers without torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer, normalizers

from memory_service.embeddings.bert_graph import LENGTHS, TOKENS, VECTORS, Graph, sentence_encoder
from memory_service.embeddings.embedder import Kind, Run, Vectors, batches, checked, gathered
from memory_service.embeddings.model_folder import ModelFolder
from memory_service.embeddings.sentence_config import NotUnderstood, SentenceConfig, read

# Its errors have no other common base.
_RUNTIME_ERRORS = (
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.NotImplemented,
    onnxruntime_errors.RuntimeException,
)
# Weights of a network with a head (BertForMaskedLM) lie under this prefix.
_PREFIX = "bert."


class OnnxEmbedder:
    """A BERT sentence encoder on the CPU, in 32-bit numbers."""

    def __init__(
        self, folder: ModelFolder, config: SentenceConfig, tokenizer: Tokenizer, session: onnxruntime.InferenceSession
    ) -> None:
        self.name = folder.setting
        self.revision = folder.revision()
        self.dimension = config.shape.dimension
        self.engine = f"ONNX Runtime {onnxruntime.__version__}"
        self._prompts = config.prompts
        self._tokenizer = tokenizer
        self._session = session

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """One row of length 1 per text; what exceeds the model's window is left out."""
        return gathered(self.runs(texts, kind), texts, self.dimension)

    def runs(self, texts: Sequence[str], kind: Kind) -> Iterator[Run]:
        """The vectors of `texts`, some at a time, the shortest texts first."""
        prompt = self._prompts[kind]
        tokens = [one.ids for one in self._tokenizer.encode_batch_fast([prompt + text for text in texts])]
        for places in batches([len(one) for one in tokens]):
            made = self._run([tokens[place] for place in places])
            yield places, checked(made, places, self.dimension)

    def _run(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        lengths = np.array([len(one) for one in tokens], np.int32)
        padded = np.zeros((len(tokens), int(lengths.max())), np.int64)
        for row, one in zip(padded, tokens, strict=True):
            row[: len(one)] = one
        try:
            made: Vectors = self._session.run([VECTORS], {TOKENS: padded, LENGTHS: lengths})[0]
        except _RUNTIME_ERRORS as error:
            raise RuntimeError(f"ONNX Runtime could not embed: {error}") from error
        return made


def load(folder: ModelFolder, threads: int) -> OnnxEmbedder:
    """The model in `folder`; takes about half a second.

    Raises:
        NotUnderstood: it is no model this engine runs; the message says why.
    """
    config = read(folder.path, folder.setting)
    tokenizer = _tokenizer(config)
    graph = _graph(config)
    return OnnxEmbedder(folder, config, tokenizer, _session(graph, threads))


def _tokenizer(config: SentenceConfig) -> Tokenizer:
    file = config.transformer / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower for a broken file
        raise NotUnderstood(f"{file.name} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(config.window)
    if config.lower_case:
        own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return tokenizer


def _graph(config: SentenceConfig) -> Graph:
    file = config.transformer / "model.safetensors"
    if not file.is_file():
        raise NotUnderstood("model.safetensors is missing")
    try:
        with safe_open(file, framework="numpy") as content:
            weights = _Stored(content)
            positions = len(weights["embeddings.position_embeddings.weight"])
            if positions < config.window:
                raise NotUnderstood(f"it has {positions} position embeddings for {config.window} tokens")
            return sentence_encoder(config.shape, weights, config.pooling)
    except KeyError as error:
        raise NotUnderstood(f"model.safetensors holds no {error.args[0]}") from error
    except (SafetensorError, OSError, TypeError) as error:
        raise NotUnderstood(f"{file.name} cannot be read: {error}") from error
    except ValueError as error:
        raise NotUnderstood(f"the weights do not fit config.json: {error}") from error


class _Stored(Mapping[str, NDArray[np.float32]]):
    """Weights read from their file one at a time, so that memory never holds all of them twice."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._stored = {name.removeprefix(_PREFIX): name for name in content.keys()}  # noqa: SIM118  (no mapping)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        values = self._content.get_tensor(self._stored[name])
        if values.dtype.kind != "f":
            raise NotUnderstood(f"{name} in model.safetensors is {values.dtype}")
        return np.asarray(values, np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def _session(graph: Graph, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait without spinning: on busy cores spinning ones made two threads slower than one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(one) for one in graph.weights.values()]
    options.add_external_initializers(list(graph.weights), values)
    try:
        return onnxruntime.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])
    except _RUNTIME_ERRORS as error:
        raise NotUnderstood(f"ONNX Runtime refuses it: {error}") from error
