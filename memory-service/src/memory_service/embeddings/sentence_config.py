"""What a sentence-transformers folder declares, read without that library; what is not understood is refused by name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from memory_service.embeddings.embedder import Kind

Pooling = Literal["mean", "cls"]

# The E5 family was trained with these words before every text, but its older releases do not declare them.
_E5_PROMPTS: dict[Kind, str] = {"memory": "passage: ", "question": "query: "}

_TRANSFORMER_FILE = "sentence_bert_config.json"
# Settings of the transformer module that change nothing when they have these values (their defaults).
_TRANSFORMER_DEFAULTS: dict[str, Any] = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
    "model_args": {},
    "tokenizer_args": {},
    "config_args": {},
    "model_kwargs": {},
    "processor_kwargs": {},
    "config_kwargs": {},
    "processing_kwargs": {},
    "query_length": None,
    "document_length": None,
}
_TRANSFORMER_KNOWN = {"max_seq_length", "do_lower_case"}
# Settings of config.json that would change the network, with the value this encoder has.
_BERT_DEFAULTS: dict[str, Any] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "is_encoder_decoder": False,
    "quantization_config": None,
}
# pooling_mode_… flags of older releases, and the names that newer ones use.
_OLD_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# What tokenizer_config.json calls a switch, and what the normaliser in tokenizer.json calls it.
_NORMALISER_SWITCHES = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


class NotUnderstood(Exception):
    """The folder declares something that only sentence-transformers can honour; the message says what."""


@dataclass(frozen=True, slots=True)
class BertShape:
    """What config.json says of the network."""

    dimension: int
    layers: int
    heads: int
    layer_norm_epsilon: float


@dataclass(frozen=True, slots=True)
class SentenceConfig:
    """A BERT sentence encoder, as its folder declares it.

    Attributes:
        transformer: the folder of config.json, weights and tokenizer.
        window: most tokens of a text that are read.
        lower_case: whether texts are put into lower case before the tokenizer's own normalisation.
        prompts: what is put before a text of each kind.
    """

    transformer: Path
    shape: BertShape
    pooling: Pooling
    window: int
    lower_case: bool
    prompts: Mapping[Kind, str]


def read(folder: Path, name: str) -> SentenceConfig:
    """What the model in `folder`, which EMBEDDING_MODEL calls `name`, declares.

    Raises:
        NotUnderstood: something in it is not understood, or a file is missing or broken.
    """
    transformer, pooling = _modules(folder)
    bert = _json(transformer / "config.json")
    _only(bert, _BERT_DEFAULTS, "config.json", known=None)
    options = _transformer_options(transformer)
    prompts = _prompts(folder, name)
    return SentenceConfig(
        transformer=transformer,
        shape=_shape(bert),
        pooling=_pooling(pooling),
        window=_window(bert, options, transformer),
        lower_case=bool(options.get("do_lower_case", False)),
        prompts=prompts,
    )


def declared_prompts(declared: Mapping[str, str | None], default: str | None, name: str) -> dict[Kind, str]:
    """What the model wants before a memory and before a question, of the prompts it declares.

    Args:
        declared: prompts by name; sentence-transformers calls those two `document` and `query`.
        default: the name of the prompt for texts that have no own.
    """
    fallback = declared.get(default) or "" if default else ""
    prompts: dict[Kind, str] = {
        "memory": declared.get("document") or fallback,
        "question": declared.get("query") or fallback,
    }
    return dict(_E5_PROMPTS) if "e5" in name.lower() and not any(prompts.values()) else prompts


def _modules(folder: Path) -> tuple[Path, Path]:
    """Folders of the transformer and of its pooling; a normalisation may follow."""
    modules = sorted(_json_list(folder / "modules.json"), key=lambda module: int(module["idx"]))
    types = [str(module["type"]) for module in modules]
    kinds = [one.rsplit(".", 1)[-1] if one.startswith("sentence_transformers.") else one for one in types]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise NotUnderstood(f"its modules are {', '.join(kinds)}")
    return folder / str(modules[0]["path"]), folder / str(modules[1]["path"])


def _transformer_options(folder: Path) -> dict[str, Any]:
    others = [file.name for file in folder.glob("sentence_*_config.json") if file.name != _TRANSFORMER_FILE]
    if others:
        raise NotUnderstood(f"{others[0]} is another architecture's")
    file = folder / _TRANSFORMER_FILE
    options = _json(file) if file.is_file() else {}
    _only(options, _TRANSFORMER_DEFAULTS, _TRANSFORMER_FILE, known=_TRANSFORMER_KNOWN)
    return options


def _shape(bert: Mapping[str, Any]) -> BertShape:
    try:
        shape = BertShape(
            dimension=int(bert["hidden_size"]),
            layers=int(bert["num_hidden_layers"]),
            heads=int(bert["num_attention_heads"]),
            layer_norm_epsilon=float(bert.get("layer_norm_eps", 1e-12)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NotUnderstood(f"config.json lacks a usable {error}") from error
    if shape.dimension % shape.heads:
        raise NotUnderstood(f"{shape.heads} attention heads do not divide {shape.dimension} dimensions")
    return shape


def _pooling(folder: Path) -> Pooling:
    options = _json(folder / "config.json")
    if options.get("include_prompt", True) is not True:
        raise NotUnderstood("its pooling leaves the prompt out")
    flags = [mode for flag, mode in _OLD_POOLING.items() if options.get(flag)]
    mode = options.get("pooling_mode", flags or "mean")
    modes = [mode] if isinstance(mode, str) else list(mode)
    if modes == ["mean"]:
        return "mean"
    if modes == ["cls"]:
        return "cls"
    raise NotUnderstood(f"its pooling is {', '.join(map(str, modes))}")


def _window(bert: Mapping[str, Any], options: Mapping[str, Any], folder: Path) -> int:
    positions = int(bert.get("max_position_embeddings", 512))
    declared = options.get("max_seq_length")
    if declared is not None and not 3 <= int(declared) <= positions:
        raise NotUnderstood(f"max_seq_length {declared} does not fit {positions} position embeddings")
    tokenizer = _json(folder / "tokenizer_config.json")
    normaliser = _json(folder / "tokenizer.json").get("normalizer") or {}
    for switch, called in _NORMALISER_SWITCHES.items():
        if (
            normaliser.get("type") == "BertNormalizer"
            and tokenizer.get(switch, normaliser[called]) != normaliser[called]
        ):
            raise NotUnderstood(f"tokenizer_config.json and tokenizer.json differ in {switch}")
    return min(int(declared or tokenizer.get("model_max_length", positions)), positions)


def _prompts(folder: Path, name: str) -> dict[Kind, str]:
    file = folder / "config_sentence_transformers.json"
    options = _json(file) if file.is_file() else {}
    if options.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        raise NotUnderstood(f"it is a {options['model_type']}")
    if options.get("truncate_dim") is not None:
        raise NotUnderstood("truncate_dim shortens its vectors")
    return declared_prompts(options.get("prompts") or {}, options.get("default_prompt_name"), name)


def _only(options: Mapping[str, Any], expected: Mapping[str, Any], file: str, *, known: set[str] | None) -> None:
    """Refuse settings with another value than expected and, where all that may stand there is `known`, any other."""
    for setting, value in options.items():
        if setting in expected and value != expected[setting]:
            raise NotUnderstood(f"{setting} in {file} is {value!r}")
        if known is not None and setting not in expected and setting not in known:
            raise NotUnderstood(f"{setting} in {file} is not understood")


def _json(file: Path) -> dict[str, Any]:
    content = _parsed(file)
    if not isinstance(content, dict):
        raise NotUnderstood(f"{file.name} holds no object")
    return content


def _json_list(file: Path) -> list[Any]:
    content = _parsed(file)
    if not isinstance(content, list):
        raise NotUnderstood(f"{file.name} holds no list")
    return content


def _parsed(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotUnderstood(f"{file.name} is missing") from error
    except (OSError, ValueError) as error:
        raise NotUnderstood(f"{file.name} cannot be read: {error}") from error
