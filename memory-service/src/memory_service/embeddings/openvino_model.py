"""BERT sentence encoders on OpenVINO: the vectors of sentence-transformers without torch."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer, normalizers

from memory_service.embeddings.bert_graph import sentence_encoder
from memory_service.embeddings.embedder import Kind, Precision, Run, Vectors, batches, checked, gathered
from memory_service.embeddings.model_folder import ModelFolder
from memory_service.embeddings.sentence_config import NotUnderstood, SentenceConfig, read
from memory_service.embeddings.silent_openvino import openvino

# Weights of a network with a head (BertForMaskedLM) lie under this prefix.
_PREFIX = "bert."
# Texts are padded to multiples of this many tokens. OpenVINO keeps what it compiled for each shape (0.3 MB, all-MiniLM-L6-v2):
# so there are some 150 shapes, not thousands. Costs 3 % of the time.
_WIDTHS = 8
# Characters tokenized before a question may go between: 4 million a second (one core, English), so this takes some 10 ms. A
# text is tokenized whole, also what exceeds the window: no number of characters is sure to fill it (blanks make no token).
_CHARACTERS = 40_000


class OpenVinoEmbedder:
    """A BERT sentence encoder on the CPU.

    Attributes:
        engine: the library, and the precision it computes in.
    """

    def __init__(
        self, folder: ModelFolder, config: SentenceConfig, tokenizer: Tokenizer, model: openvino.CompiledModel
    ) -> None:
        self.name = folder.setting
        self.revision = folder.revision()
        self.dimension = config.shape.dimension
        self.engine = f"OpenVINO {_version()}, {_precision(model)}"
        self._prompts = config.prompts
        self._window = config.window
        self._tokenizer = tokenizer
        self._model = model
        # One run waits in the queue: no thread of the model pauses until this one has its turn. While an import of LoCoMo
        # turns goes on, at some 295 instead of 270 a second, a question is answered in 72 instead of 68 ms (median).
        self._at_once = int(model.get_property("NUM_STREAMS")) + 1
        # Requests nobody uses now. Whoever embeds has some of its own: a request that two wait for refuses both.
        self._idle: deque[openvino.InferRequest] = deque()

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """One row of length 1 per text; what exceeds the model's window is left out."""
        return gathered(self.runs(texts, kind), texts, self.dimension)

    def runs(self, texts: Sequence[str], kind: Kind) -> Iterator[Run]:
        """The vectors of `texts`, some at a time, the shortest texts first; on each thread a run is under way, and one waits.

        Before, while it tokenizes much text, come runs of no text.

        Several may be embedding at once, in one thread by turns or in several.
        """
        prompt = self._prompts[kind]
        tokens: list[Sequence[int]] = []
        for some in _portions(texts):
            if tokens:
                yield [], np.empty((0, self.dimension), np.float32)
            tokens += [one.ids for one in self._tokenizer.encode_batch_fast([prompt + text for text in some])]
        runs = list(batches([self._padded(len(one)) for one in tokens]))
        under_way: deque[tuple[Sequence[int], openvino.InferRequest]] = deque()
        with self._requests(min(self._at_once, len(runs))) as requests:
            for places, request in zip(runs, cycle(requests), strict=False):
                if len(under_way) == len(requests):
                    yield self._finished(*under_way.popleft())
                self._start(request, [tokens[place] for place in places])
                under_way.append((places, request))
            while under_way:
                yield self._finished(*under_way.popleft())

    @contextmanager
    def _requests(self, number: int) -> Iterator[Sequence[openvino.InferRequest]]:
        """So many requests for the caller alone. One that has gone before the end may have left some under way."""
        mine = [self._request() for _ in range(number)]
        try:
            yield mine
        finally:
            for request in mine:
                request.wait()
            self._idle.extend(mine)

    def _request(self) -> openvino.InferRequest:
        try:
            return self._idle.pop()
        except IndexError:
            return self._model.create_infer_request()

    def _start(self, request: openvino.InferRequest, tokens: Sequence[Sequence[int]]) -> None:
        lengths = np.array([[len(one)] for one in tokens], np.int64)
        padded = np.zeros((len(tokens), self._padded(int(lengths.max()))), np.int64)
        for row, one in zip(padded, tokens, strict=True):
            row[: len(one)] = one
        request.start_async([padded, lengths])

    def _finished(self, places: Sequence[int], request: openvino.InferRequest) -> Run:
        request.wait()
        return places, checked(request.get_output_tensor(0).data.copy(), places, self.dimension)

    def _padded(self, tokens: int) -> int:
        return min(self._window, -(-tokens // _WIDTHS) * _WIDTHS)


def _portions(texts: Sequence[str]) -> Iterator[list[str]]:
    """`texts` in their order, so many at a time as have `_CHARACTERS` together, or one that has more."""
    portion: list[str] = []
    characters = 0
    for text in texts:
        if portion and characters + len(text) > _CHARACTERS:
            yield portion
            portion, characters = [], 0
        portion.append(text)
        characters += len(text)
    if portion:
        yield portion


def load(folder: ModelFolder, threads: int, precision: Precision = "auto") -> OpenVinoEmbedder:
    """The model in `folder`; takes about half a second.

    Raises:
        NotUnderstood: it is no model this engine runs; the message says why.
    """
    config = read(folder.path, folder.setting)
    tokenizer = _tokenizer(config)
    return OpenVinoEmbedder(folder, config, tokenizer, _compiled(_model(config), threads, precision))


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


def _model(config: SentenceConfig) -> openvino.Model:
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
    except (RuntimeError, ValueError) as error:
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


def _compiled(model: openvino.Model, threads: int, precision: Precision) -> openvino.CompiledModel:
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads, "ENABLE_CPU_PINNING": False}
    if precision != "auto":
        options["INFERENCE_PRECISION_HINT"] = precision
    try:
        return openvino.Core().compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise NotUnderstood(f"OpenVINO refuses it: {error}") from error


def _version() -> str:
    return str(openvino.__version__).split("-", 1)[0]


def _precision(model: openvino.CompiledModel) -> str:
    """What the model computes in, for people."""
    return str(model.get_property("INFERENCE_PRECISION_HINT").to_string())
