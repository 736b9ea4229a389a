"""From a conversation to tokens and labels: the loss sees the assistant's words and their end token, nothing else.

The spans are found in the rendered text and carried to tokens by character offsets, so the mask is right for any
template whose rendering grows turn by turn; a template that rewrites earlier turns is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from persona_training.errors import TemplateError
from persona_training.messages import Conversation, Message, as_dicts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What cross-entropy in torch and transformers skips.
IGNORED = -100


class Span(NamedTuple):
    """Characters [start, end) of the rendered text that the assistant is to say."""

    start: int
    end: int


@dataclass(frozen=True)
class Example:
    """One tokenised conversation; `labels` equals `input_ids` on the assistant's tokens and IGNORED elsewhere."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens in all."""
        return len(self.input_ids)

    @property
    def learned(self) -> int:
        """Tokens the loss sees."""
        return sum(label != IGNORED for label in self.labels)


def render(tokenizer: PreTrainedTokenizerBase, conversation: Conversation) -> tuple[str, list[Span]]:
    """The whole conversation as the template writes it, and the assistant's spans in it, end token included.

    Raises:
        TemplateError: the rendering of a longer conversation does not begin with that of a shorter one, or a reply
            carries no end token.
    """
    messages = as_dicts(conversation)
    text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    spans = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = str(tokenizer.apply_chat_template(messages[:index], tokenize=False, add_generation_prompt=True))
        after = str(tokenizer.apply_chat_template(messages[: index + 1], tokenize=False)).rstrip()
        if not after.startswith(before) or not text.startswith(after):
            raise TemplateError(
                "This base model's chat template rewrites earlier turns, so the assistant's words cannot be found in it. "
                "Use a base with a plain template (ChatML, Llama 3), or rows of one exchange."
            )
        end_token = str(tokenizer.eos_token)
        if not after.endswith(end_token):
            raise TemplateError(
                f"This chat template does not end the assistant's turn with the end token {end_token!r}: "
                "the adapter would never learn to stop. Fix eos_token in the base's tokenizer_config.json."
            )
        spans.append(Span(len(before), len(after)))
    return text, spans


def encode(tokenizer: PreTrainedTokenizerBase, conversation: Conversation) -> Example:
    """Tokenise a conversation and mask everything but the assistant's spans.

    Raises:
        TemplateError: see `render`; also when a token crosses a span's edge, which would blur what is learned.
    """
    text, spans = render(tokenizer, conversation)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = encoded["input_ids"]
    labels = [IGNORED] * len(ids)
    offsets: Sequence[tuple[int, int]] = encoded["offset_mapping"]
    for index, (start, end) in enumerate(offsets):
        for span in spans:
            if start >= span.start and end <= span.end and end > start:
                labels[index] = ids[index]
            elif start < span.end and end > span.start:
                raise TemplateError(
                    f"The token {text[start:end]!r} crosses the edge of a reply; this tokenizer is unusable."
                )
    return Example(tuple(ids), tuple(labels))


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[str]:
    """The tokenizer's special tokens as text: inside a message they would be read as turns that nobody took."""
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    return frozenset(token for token in (*map(str, tokenizer.all_special_tokens), *added) if token.strip())


def holds_any(tokens: Collection[str], messages: Iterable[Message]) -> bool:
    """Whether one of the messages says one of the tokens."""
    return any(token in message["content"] for message in messages for token in tokens)


def preview(tokenizer: PreTrainedTokenizerBase, example: Example) -> list[tuple[str, bool]]:
    """The example as (text, learned) runs, for showing what the loss sees before the first step."""
    runs: list[tuple[list[int], bool]] = []
    for token, label in zip(example.input_ids, example.labels, strict=True):
        learned = label != IGNORED
        if not runs or runs[-1][1] != learned:
            runs.append(([], learned))
        runs[-1][0].append(token)
    return [(str(tokenizer.decode(tokens)), learned) for tokens, learned in runs]
