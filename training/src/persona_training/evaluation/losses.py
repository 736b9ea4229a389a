"""How likely a model finds her own words, and anybody's: what shows damage before the replies do.

A reply is scored under the chat template, with the system prompt she is served with; a general text stands alone, after the
token that begins a text. Both are mean negative log-likelihoods in nats per token (perplexity is their exponential; Jelinek et
al. 1977). Two models can be compared only where they share a tokenizer, as versions on one base do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from persona_training.chat_template import IGNORED, Example, encode
from persona_training.errors import PersonaTrainingError
from persona_training.evaluation.battery import Corpora
from persona_training.generation import TransformersReplier
from persona_training.messages import Message, without_system

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def persona_losses(
    model: TransformersReplier, pairs: Sequence[tuple[str, str]], system_prompt: str = ""
) -> list[float]:
    """Nats per token of each reply, given what the viewer said; its end token counts, or she would never stop.

    Raises:
        TemplateError: the base's chat template hides the reply, see `chat_template`.
    """
    return model.losses([_persona(model, prompt, reply, system_prompt) for prompt, reply in pairs])


def general_losses(model: TransformersReplier, texts: Sequence[str]) -> list[float]:
    """Nats per token of each plain text; the first token counts only where the tokenizer has one that begins a text.

    Raises:
        PersonaTrainingError: a text is a single token, so nothing in it can be foretold.
    """
    return model.losses([_general(model.tokenizer, text) for text in texts])


def all_losses(
    model: TransformersReplier, corpora: Corpora, system_prompt: str = ""
) -> tuple[list[float], list[float]]:
    """Of the battery's persona replies and of its general texts; either is empty where the battery has none."""
    return persona_losses(model, corpora.persona, system_prompt), general_losses(model, corpora.general)


def _persona(model: TransformersReplier, prompt: str, reply: str, system_prompt: str) -> Example:
    told = [Message(role="system", content=system_prompt)] if system_prompt else []
    said = [*told, Message(role="user", content=prompt), Message(role="assistant", content=reply)]
    return encode(model.tokenizer, without_system(said) if model.omit_system else said)


def _general(tokenizer: PreTrainedTokenizerBase, text: str) -> Example:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    if tokenizer.bos_token_id is not None:
        ids = [int(tokenizer.bos_token_id), *ids]
    if len(ids) < 2:
        raise PersonaTrainingError(
            f"The general text {text!r} is too short to be foretold. Give the battery a longer one."
        )
    return Example(tuple(ids), (IGNORED, *ids[1:]))
