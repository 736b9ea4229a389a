"""The chat template as a serving program can read it, and the tokens that end a reply."""

from __future__ import annotations

import re
from pathlib import Path

from persona_training.gguf_export.architecture import GgufError, read_json

_GENERATION_TAG = re.compile(r"\{%(?P<left>[-+]?)\s*(?P<end>end)?generation\s*(?P<right>[-+]?)%\}")


def read_chat_template(model_dir: Path) -> str:
    """The folder's chat template without its `{% generation %}` tags.

    Raises:
        GgufError: the tokenizer has none.
    """
    path = model_dir / "chat_template.jinja"
    if path.is_file():
        return without_generation_tags(path.read_text(encoding="utf-8"))
    config_path = model_dir / "tokenizer_config.json"
    template = read_json(config_path).get("chat_template") if config_path.is_file() else None
    if isinstance(template, list):  # several by name, as Hermes 3 has one for tools beside the default
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if not isinstance(template, str):
        raise GgufError(f"No chat template in {model_dir}: without it a served model cannot tell who is speaking.")
    return without_generation_tags(template)


def without_generation_tags(template: str) -> str:
    """The same template for renderers that do not know `{% generation %}`, a mark only training needs.

    The tags become `{% if true %}` and `{% endif %}` with their white-space signs kept, so that the text renders the same.
    """
    return _GENERATION_TAG.sub(
        lambda tag: "{%" + tag["left"] + (" endif " if tag["end"] else " if true ") + tag["right"] + "%}", template
    )


def stop_tokens(chat_template: str, eos: str) -> list[str]:
    """Texts that end a reply: the end token, and the turn markers of the template, so that she never speaks for others."""
    known = (
        "<|im_end|>",
        "<|im_start|>",
        "<|eot_id|>",
        "<|start_header_id|>",
        "<end_of_turn>",
        "<start_of_turn>",
        "</s>",
    )
    return list(dict.fromkeys([eos, *(token for token in known if token in chat_template)]))
