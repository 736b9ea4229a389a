"""Replies from a base model, from base + adapters, or from a merged model: the voice the gate listens to.

`Replier` is the protocol; `load_transformers_replier` the one that runs in this process, on CPU or CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from persona_training.chat_template import IGNORED, Example
from persona_training.errors import PersonaTrainingError
from persona_training.messages import Conversation, Message, as_dicts, without_system

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TURN_OPENINGS = ("<|im_start|>", "<|start_header_id|>", "<start_of_turn>")


class NoRoomError(PersonaTrainingError):
    """The GPU's memory is too small for what is asked of it at a time."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 picks the likeliest token every time; above 0 samples.
        top_p: share of probability mass kept, in (0, 1].
        top_k: number of likeliest tokens kept; 0 keeps all.
        repetition_penalty: 1.0 is off; above 1 discourages tokens already seen.
        max_new_tokens: upper bound of a reply's length, in tokens.
    """

    temperature: float = 0.7
    top_p: float = 0.9
    top_k: int = 0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 96

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise PersonaTrainingError("Sampling needs temperature >= 0, 0 < top_p <= 1 and top_k >= 0.")
        if self.repetition_penalty <= 0 or self.max_new_tokens < 1:
            raise PersonaTrainingError("Sampling needs repetition_penalty > 0 and max_new_tokens >= 1.")


class Replier(Protocol):
    """Anything that answers conversations: a local model, a merged one, a deployed tag."""

    name: str

    def reply(self, conversations: Sequence[Sequence[Message]], sampling: Sampling, seed: int) -> list[str]:
        """One reply per conversation, in order. The same input, sampling and seed give the same replies."""
        ...


@dataclass
class TransformersReplier:
    """Batched generation in this process.

    Attributes:
        name: shown in reports.
        model: in evaluation mode, on `device`.
        tokenizer: carries the chat template; padded on the left while generating.
        batch_size: conversations per forward pass.
        omit_system: drop system messages before rendering (see a recipe's `system_prompt` knob).
        max_prompt_tokens: longer prompts lose their oldest turns first.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    batch_size: int = 32
    omit_system: bool = False
    max_prompt_tokens: int = 4096

    def reply(self, conversations: Sequence[Sequence[Message]], sampling: Sampling, seed: int) -> list[str]:
        """One reply per conversation, in order; every batch draws from its own seeded generator state."""
        import torch

        prompts = [self._prompt(conversation, sampling.max_new_tokens) for conversation in conversations]
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), i))
        replies = [""] * len(prompts)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                torch.manual_seed(seed + start)
                for index, text in zip(batch, self._generate([prompts[i] for i in batch], sampling), strict=True):
                    replies[index] = text
        return replies

    def losses(self, examples: Sequence[Example]) -> list[float]:
        """How unlikely the model finds each example's learned tokens: mean negative log-likelihood, nats per token, >= 0.

        An example longer than the context loses its oldest tokens, as a prompt does.

        Raises:
            PersonaTrainingError: an example has no learned token, so there is nothing to take the mean of.
        """
        order = sorted(range(len(examples)), key=lambda i: (examples[i].length, i))
        losses = [0.0] * len(examples)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for index, loss in zip(batch, self._mean_losses([examples[i] for i in batch]), strict=True):
                losses[index] = loss
        return losses

    def _mean_losses(self, examples: Sequence[Example]) -> list[float]:
        import torch
        from torch.nn.functional import cross_entropy

        kept = [(e.input_ids[-self.max_prompt_tokens :], e.labels[-self.max_prompt_tokens :]) for e in examples]
        width = max(len(ids) for ids, _ in kept)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[*ids, *[pad] * (width - len(ids))] for ids, _ in kept], device=self.device)
        labels = torch.tensor([[*own, *[IGNORED] * (width - len(own))] for _, own in kept], device=self.device)
        attention = torch.tensor([[1] * len(i) + [0] * (width - len(i)) for i, _ in kept], device=self.device)
        with torch.inference_mode(), self._room(len(examples)):
            forward: Any = self.model
            logits = forward(input_ids=ids, attention_mask=attention).logits
            # The token at position t is foretold by the logits at t - 1; sums are taken in float32 whatever the weights are.
            targets = labels[:, 1:]
            each = cross_entropy(
                logits[:, :-1].float().transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
            ).sum(dim=1)
        counts = (targets != IGNORED).sum(dim=1)
        if bool((counts == 0).any()):
            raise PersonaTrainingError("A text without a single token to foretell has no loss.")
        means: list[float] = (each / counts).tolist()
        return means

    @contextmanager
    def _room(self, rows: int) -> Iterator[None]:
        """Say in one sentence what a full GPU means here."""
        import torch

        try:
            yield
        except torch.OutOfMemoryError as error:
            raise NoRoomError(
                f"{rows} conversations with {self.name} at a time do not fit into this GPU's memory. Close what else uses it, "
                "or deploy to Ollama under a tag and ask that: it serves a quantised model."
            ) from error

    def _prompt(self, conversation: Conversation, room: int) -> list[int]:
        messages = without_system(conversation) if self.omit_system else list(conversation)
        if not messages or messages[-1]["role"] != "user":
            raise PersonaTrainingError("A conversation to answer must end with a user message.")
        limit = self.max_prompt_tokens - room
        if limit < 1:
            raise PersonaTrainingError(
                f"{self.name} reads {self.max_prompt_tokens} tokens in all, which a reply of up to {room} would fill. "
                "Ask for shorter replies."
            )
        while True:
            text = self.tokenizer.apply_chat_template(as_dicts(messages), tokenize=False, add_generation_prompt=True)
            tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            oldest = 1 if messages[0]["role"] == "system" else 0
            if len(tokens) <= limit or oldest + 1 >= len(messages):
                return tokens[-limit:]
            del messages[oldest]

    def _stops(self) -> list[int]:
        """The end token, and the token that opens a turn: a served model is stopped there before it speaks for others."""
        known = self.tokenizer.get_vocab()
        opening = [known[token] for token in TURN_OPENINGS if token in known]
        return list(dict.fromkeys([self.tokenizer.eos_token_id, *opening]))

    def _generate(self, prompts: Sequence[list[int]], sampling: Sampling) -> list[str]:
        import torch
        from transformers import GenerationConfig

        width = max(len(prompt) for prompt in prompts)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=self.device)
        attention = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self.device)
        config = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=sampling.max_new_tokens,
            repetition_penalty=sampling.repetition_penalty,
            pad_token_id=pad,
            eos_token_id=self._stops(),
            **_choice(sampling),
        )
        with torch.inference_mode(), self._room(len(prompts)):
            generate: Any = self.model.generate
            output = generate(input_ids=ids, attention_mask=attention, generation_config=config)
        texts: list[str] = self.tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        return [text.strip() for text in texts]


def _choice(sampling: Sampling) -> dict[str, object]:
    if sampling.temperature == 0:
        return {"do_sample": False}
    return {
        "do_sample": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
    }


def load_transformers_replier(
    base_dir: Path,
    adapters: Sequence[Path] = (),
    *,
    name: str | None = None,
    device: str = "auto",
    omit_system: bool = False,
    batch_size: int = 32,
) -> TransformersReplier:
    """Load a base or merged model folder and merge the adapters into it in memory, in the order given.

    Args:
        base_dir: a transformers model folder with its tokenizer and chat template.
        adapters: adapter folders, parent first (layer 1, then layer 2).
        name: shown in reports; by default the folder names joined with "+".
        device: "auto", "cpu" or "cuda".
        omit_system: drop system messages before rendering, for bases trained without them.
        batch_size: conversations per forward pass.

    Raises:
        BaseModelError, AdapterError: a folder is missing or incomplete.
    """
    from persona_training.hardware import choose_hardware
    from persona_training.models import load_base, load_tokenizer, merge_adapters, on_device

    hardware = choose_hardware(device)
    model = on_device(merge_adapters(load_base(base_dir, hardware.dtype), adapters), hardware.device)
    model.eval()  # type: ignore[no-untyped-call]
    tokenizer = load_tokenizer(base_dir)
    context = int(getattr(model.config, "max_position_embeddings", 4096))
    return TransformersReplier(
        name=name or "+".join([base_dir.name, *(adapter.name for adapter in adapters)]),
        model=model,
        tokenizer=tokenizer,
        device=hardware.device,
        batch_size=batch_size,
        omit_system=omit_system,
        max_prompt_tokens=context,
    )
