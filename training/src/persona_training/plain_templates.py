"""Chat templates for bases whose own cannot be trained on: those that write an earlier turn otherwise once another follows.

Two families do. Qwen3 puts an empty thought before the newest reply and takes it away from older ones; Mistral's newer
templates say the system prompt in the newest question only. A row of several turns then never reads as it would be served,
and the assistant's words cannot be found in it. The plain forms here use the same special tokens, say every turn the same way
for good, and travel with the model: adapter, merged folder and GGUF carry the one that was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jinja2 import TemplateError as JinjaError

from persona_training.chat_template import render
from persona_training.errors import TemplateError
from persona_training.messages import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TURNS = (
    "{%% for m in messages %%}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{%% if m['role'] == 'assistant' %%}{{ '%(thought)s' }}{%% endif %%}"
    "{{ m['content'] + '<|im_end|>' + '\\n' }}{%% endfor %%}"
    "{%% if add_generation_prompt %%}{{ '<|im_start|>assistant\\n%(thought)s' }}{%% endif %%}"
)
CHATML = _TURNS % {"thought": ""}
# Qwen3's way of saying "do not think first", in every reply.
QWEN3 = _TURNS % {"thought": "<think>\\n\\n</think>\\n\\n"}
MISTRAL = (
    "{{ bos_token }}{% set first = messages[0]['role'] == 'system' %}"
    "{% for m in (messages[1:] if first else messages) %}"
    "{% if m['role'] == 'user' %}"
    "{{ '[INST] ' + (messages[0]['content'] + '\\n\\n' if first and loop.first else '') + m['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
# Name, template, the special tokens it is written with, and the end token it needs; the first that suits is taken.
_FAMILIES = (
    ("Qwen3's without thoughts", QWEN3, ("<|im_start|>", "<think>", "</think>"), "<|im_end|>"),
    ("plain ChatML", CHATML, ("<|im_start|>",), "<|im_end|>"),
    ("Mistral's with the system prompt in the first question", MISTRAL, ("[INST]", "[/INST]"), "</s>"),
)
# Two exchanges after a system prompt: whatever a template rewrites, it rewrites here.
_PROBE: Sequence[Message] = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="One?"),
    Message(role="assistant", content="Two."),
    Message(role="user", content="Three?"),
    Message(role="assistant", content="Four."),
)


def make_trainable(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the tokenizer a plain template where its own cannot be trained on and its family is known; see `replaced`."""
    if _is_trainable(tokenizer):
        return
    own, vocabulary = tokenizer.chat_template, tokenizer.get_vocab()
    for _, template, tokens, end in _FAMILIES:
        if tokenizer.eos_token == end and all(token in vocabulary for token in tokens):
            tokenizer.chat_template = template
            if _is_trainable(tokenizer):
                return
    tokenizer.chat_template = own


def replaced(tokenizer: PreTrainedTokenizerBase) -> str:
    """Which plain template stands in for the base's own, and why, for display; empty where the base kept its own."""
    names = {template: name for name, template, _, _ in _FAMILIES}
    name = names.get(str(tokenizer.chat_template))
    return "" if name is None else f"{name}: the base's own rewrites earlier turns, and could not be trained on"


def _is_trainable(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template takes such a conversation, says every turn for good, and ends replies with the end token."""
    try:
        render(tokenizer, list(_PROBE))
    except (TemplateError, JinjaError):
        return False
    return True
