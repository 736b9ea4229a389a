"""Write the file: metadata first, then one tensor after the other, so that memory holds one tensor at a time."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from persona_training.gguf_export.architecture import (
    GgufError,
    ModelShape,
    read_json,
    read_shape,
    tensor_names,
    to_gguf_order,
)
from persona_training.gguf_export.quantisation import FILE_TYPES, Quantisation, encode, stored_type
from persona_training.gguf_export.template import read_chat_template
from persona_training.gguf_export.vocabulary import Vocabulary, read_vocabulary

_TIED_HEAD = "lm_head.weight"
ROPE_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True)
class WrittenGguf:
    """What was written: where, how large, and how many tensors of each type ("Q8_0": 29, "F32": 9)."""

    path: Path
    size: int
    tensors: dict[str, int]
    chat_template: str
    eos_token: str
    context_length: int


def write_gguf(
    model_dir: Path,
    target: Path,
    *,
    name: str,
    quantisation: Quantisation = Quantisation.Q8_0,
    tokenizer_dir: Path | None = None,
) -> WrittenGguf:
    """Write the merged model in `model_dir` to `target`, which appears only when it is complete.

    Args:
        model_dir: a saved transformers model (Llama, Mistral, Qwen2 or Qwen3) with its tokenizer.
        target: the file to write; replaced if it exists.
        name: `general.name` in the file.
        quantisation: of the two-dimensional tensors.
        tokenizer_dir: where tokenizer and chat template lie, if not beside the model.

    Raises:
        GgufError: the model, its tokenizer or its template cannot be carried (see the modules).
    """
    shape = read_shape(model_dir)
    vocabulary = read_vocabulary(tokenizer_dir or model_dir, shape.vocab_size)
    chat_template = read_chat_template(tokenizer_dir or model_dir)
    with written_whole(target, shape.architecture) as writer:
        _describe(writer, shape, name, quantisation)
        _add_vocabulary(writer, vocabulary, chat_template)
        kinds = _write_tensors(writer, model_dir, shape, quantisation)
    return WrittenGguf(
        path=target,
        size=target.stat().st_size,
        tensors=dict(kinds),
        chat_template=chat_template,
        eos_token=vocabulary.tokens[vocabulary.eos],
        context_length=shape.max_position_embeddings,
    )


@contextmanager
def written_whole(target: Path, architecture: str) -> Iterator[gguf.GGUFWriter]:
    """A writer of `target`, which appears when the block is over; of one that fails, nothing stays behind.

    Raises:
        GgufError: it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A folder of its own: two who write the same file at once must not write into each other's.
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as unfinished:
            partial = Path(unfinished) / target.name
            with closing(gguf.GGUFWriter(partial, architecture)) as writer:
                yield writer
            partial.replace(target)
    except OSError as error:
        raise GgufError(f"Could not write {target}: {error}. Is the disk full?") from error


def read_back(path: Path) -> WrittenGguf:
    """What `write_gguf` said of a file that was written earlier.

    Raises:
        GgufError: it is not one of its files.
    """
    try:
        reader = gguf.GGUFReader(path)
        architecture = _contents(reader, "general.architecture")
        tokens: Any = reader.get_field("tokenizer.ggml.tokens")
        return WrittenGguf(
            path=path,
            size=path.stat().st_size,
            tensors=tensor_kinds(path),
            chat_template=str(_contents(reader, "tokenizer.chat_template")),
            eos_token=str(tokens.contents(_contents(reader, "tokenizer.ggml.eos_token_id"))),
            context_length=int(_contents(reader, f"{architecture}.context_length")),
        )
    except (OSError, ValueError, LookupError, AttributeError) as error:
        raise GgufError(f"{path} is no complete GGUF file ({error}). Delete it; it is written again.") from error


def _contents(reader: gguf.GGUFReader, name: str) -> Any:
    field = reader.get_field(name)
    if field is None:
        raise ValueError(f"it lacks {name}")
    return field.contents()


def tensor_kinds(path: Path) -> dict[str, int]:
    """How many tensors of each type a file holds."""
    return dict(Counter(tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors))


def _describe(writer: gguf.GGUFWriter, shape: ModelShape, name: str, quantisation: Quantisation) -> None:
    writer.add_name(name)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(FILE_TYPES[quantisation])
    if quantisation is Quantisation.Q8_0:
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocab_size)
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_key_value_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary, chat_template: str) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
        writer.add_add_space_prefix(vocabulary.adds_space)
    else:
        writer.add_token_merges(vocabulary.merges)
    # A reader that finds no first token assumes token 11 of GPT-2; naming the end token (as Qwen's own files do) and
    # saying that it is never added is harmless.
    writer.add_bos_token_id(vocabulary.eos if vocabulary.bos is None else vocabulary.bos)
    writer.add_eos_token_id(vocabulary.eos)
    if vocabulary.pad is not None:
        writer.add_pad_token_id(vocabulary.pad)
    writer.add_add_bos_token(vocabulary.adds_bos)
    writer.add_chat_template(chat_template)


def _write_tensors(
    writer: gguf.GGUFWriter, model_dir: Path, shape: ModelShape, quantisation: Quantisation
) -> Counter[str]:
    names = tensor_names(shape)
    kinds: Counter[str] = Counter()
    with Weights(model_dir) as weights:
        weights.check(names, shape)
        for ours, theirs in names.items():
            dimensions = weights.shape(ours)
            stored = stored_type(dimensions[-1], len(dimensions), quantisation)
            kinds[stored.value] += 1
            _announce(writer, theirs, dimensions, stored)
        factors = np.array(shape.rope_factors, dtype=np.float32)
        if len(factors):
            kinds[Quantisation.F32.value] += 1
            _announce(writer, ROPE_FACTORS, factors.shape, Quantisation.F32)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for ours, weight in weights.read(names):
            stored = stored_type(weight.shape[-1], weight.ndim, quantisation)
            writer.write_tensor_data(encode(ours, to_gguf_order(ours, weight, shape), stored))
        if len(factors):
            writer.write_tensor_data(factors)
    return kinds


def _announce(writer: gguf.GGUFWriter, name: str, dimensions: tuple[int, ...], stored: Quantisation) -> None:
    kind = gguf.GGMLQuantizationType[stored.value]
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    size = int(np.prod(dimensions)) // block * block_bytes
    byte_shape = gguf.quant_shape_to_byte_shape(dimensions, kind) if stored is Quantisation.Q8_0 else dimensions
    dtype = {Quantisation.F32: np.float32, Quantisation.F16: np.float16, Quantisation.Q8_0: np.uint8}[stored]
    writer.add_tensor_info(name, byte_shape, np.dtype(dtype), size, raw_dtype=kind)


class Weights:
    """The safetensors of a model folder, one file or several, read one tensor at a time as float32."""

    def __init__(self, model_dir: Path) -> None:
        self._dir = model_dir
        self._stack = ExitStack()
        self._files: dict[str, Any] = {}

    def __enter__(self) -> Weights:
        from safetensors import SafetensorError, safe_open

        for path in self._paths():
            try:
                opened = self._stack.enter_context(safe_open(path, framework="pt"))
            except (OSError, SafetensorError) as error:
                self._stack.close()
                raise GgufError(f"{path} cannot be read: {error}. Write the merged model again.") from error
            self._files.update(dict.fromkeys(opened.keys(), opened))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _paths(self) -> list[Path]:
        index = self._dir / "model.safetensors.index.json"
        if index.is_file():
            listed = read_json(index).get("weight_map")
            if not isinstance(listed, dict):
                raise GgufError(f"{index} names no files: write the merged model again.")
            return [self._dir / name for name in sorted(set(listed.values()))]
        single = self._dir / "model.safetensors"
        if not single.is_file():
            raise GgufError(f"No model.safetensors in {self._dir}: save the merged model with safe serialisation.")
        return [single]

    def check(self, names: dict[str, str], shape: ModelShape) -> None:
        """Refuse a folder whose tensors are not exactly those of its config."""
        missing = sorted(set(names) - set(self._files))
        unknown = sorted(set(self._files) - set(names) - ({_TIED_HEAD} if shape.tie_word_embeddings else set()))
        if missing or unknown:
            listed = ", ".join(
                [f"missing {name}" for name in missing[:3]] + [f"unknown {name}" for name in unknown[:3]]
            )
            raise GgufError(f"The weights in {self._dir} do not match its config ({listed}); merge the adapters first.")

    def shape(self, name: str) -> tuple[int, ...]:
        """Dimensions of a tensor, without reading it."""
        return tuple(int(size) for size in self._files[name].get_slice(name).get_shape())

    def read(self, names: dict[str, str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Every tensor in the given order, as float32."""
        for name in names:
            yield name, self._files[name].get_tensor(name).float().numpy()
