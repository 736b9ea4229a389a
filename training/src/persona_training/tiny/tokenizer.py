"""A byte-level BPE tokenizer with ChatML turns, learned from the grammar's own text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from persona_training.messages import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TURN_START, TURN_END, PADDING = "<|im_start|>", "<|im_end|>", "<|pad|>"
# At 60, as often as the grammar says its rarer words, two values in three were in pieces; at 500 none is.
_OFTEN = 500
CHATML_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def learn_tokenizer(
    conversations: Iterable[list[Message]], vocabulary_size: int, words: Iterable[str] = ()
) -> PreTrainedTokenizerFast:
    """Learn merges from the conversations; every byte has a token, so any text can be read, emoji included.

    Each of `words` is read `_OFTEN` times more, after a space and as a text's first word, so that it becomes one token where
    the vocabulary is not much too small.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[PADDING, TURN_START, TURN_END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (f"{m['role']}\n{m['content']}" for conversation in conversations for m in conversation)
    forms = (form for word in words for form in (f" {word}", word[:1].upper() + word[1:]))
    tokenizer.train_from_iterator(itertools.chain(texts, (form for form in forms for _ in range(_OFTEN))), trainer)
    wrapped: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=PADDING,
        additional_special_tokens=[TURN_START],
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHATML_TEMPLATE
    return wrapped
