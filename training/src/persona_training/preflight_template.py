"""Will she be asked as she was taught: do serving and training turn the same conversation into the same tokens?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jinja2 import TemplateError as JinjaError

from persona_training.chat_template import encode
from persona_training.findings import Check
from persona_training.gguf_export.architecture import GgufError, read_shape
from persona_training.gguf_export.template import read_chat_template
from persona_training.gguf_export.vocabulary import read_vocabulary
from persona_training.messages import Message, as_dicts, taught
from persona_training.ollama.modelfile import ollama_template
from persona_training.plain_templates import replaced
from persona_training.preparation import Prepared

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Conversations compared; templates that differ do so on the first ones.
COMPARED = 8


def check_template(prepared: Prepared) -> Check:
    """The first rows as the GGUF's template writes them for a request, token by token against what training reads."""
    folder, tokenizer = prepared.base.folder, prepared.tokenizer
    try:
        template = str(tokenizer.chat_template) if replaced(tokenizer) else read_chat_template(folder)
        adds_bos = read_vocabulary(folder, read_shape(folder).vocab_size).adds_bos
    except GgufError as error:
        remedy = "It can be trained, but not deployed to Ollama from here."
        return Check("chat template", "note", f"this base cannot be carried into GGUF: {error.message}", remedy)
    by = "Ollama's ChatML" if ollama_template(template) else "the GGUF's own template"
    rows = prepared.dataset.train[:COMPARED]
    for row in rows:
        messages = taught(row.messages, prepared.request.recipe.system_prompt)
        served = serving_tokens(tokenizer, template, messages, adds_bos)
        read = list(encode(tokenizer, messages).input_ids)
        if served is None or read[: len(served)] != served:
            where = "it cannot be rendered" if served is None else _difference(tokenizer, served, read)
            remedy = (
                "Mend chat_template in the base's folder: a model asked otherwise than it was taught answers worse."
            )
            return Check(
                "chat template", "fail", f"serving asks with other tokens than training reads: {where}", remedy
            )
    return Check(
        "chat template", "ok", f"{by} asks with the very tokens that training reads ({len(rows)} rows compared)"
    )


def serving_tokens(
    tokenizer: PreTrainedTokenizerBase, template: str, messages: Sequence[Message], adds_bos: bool
) -> list[int] | None:
    """What a server feeds the model when asked for the last reply; None if the template cannot be rendered.

    Ollama is given its own ChatML where that is what the template writes, and else the template. The begin token goes before
    it where the vocabulary says so, once.
    """
    if ollama_template(template):
        text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages[:-1])
        text += "<|im_start|>assistant\n"
    else:
        try:
            text = str(
                tokenizer.apply_chat_template(
                    as_dicts(messages[:-1]), chat_template=template, tokenize=False, add_generation_prompt=True
                )
            )
        except JinjaError:
            return None
    begin = str(tokenizer.bos_token or "")
    if adds_bos and not text.startswith(begin):
        text = begin + text
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _difference(tokenizer: PreTrainedTokenizerBase, served: Sequence[int], read: Sequence[int]) -> str:
    at = next((i for i, (ours, theirs) in enumerate(zip(served, read, strict=False)) if ours != theirs), len(read))
    asked, taught = (tokenizer.decode(list(ids[at : at + 8])) for ids in (served, read))
    return f"from token {at} on {asked!r} instead of {taught!r}"
