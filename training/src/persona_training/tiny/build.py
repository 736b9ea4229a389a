"""Build and pre-train the tiny chat model: the demo's base model and the tests' fixture.

A Llama-shaped model learns the grammar's neutral exchanges on one CPU thread. The result is a plain transformers
folder, cached under a hash of everything that shapes it.
"""

from __future__ import annotations

import inspect
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_training.errors import BaseModelError
from persona_training.hashing import sha256_json, sha256_text
from persona_training.messages import as_dicts
from persona_training.models import without_shard_bars
from persona_training.tiny import grammar, lexicon, patterns, sentences, tokenizer, words
from persona_training.tiny.grammar import exchanges

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TinyRecipe:
    """Everything that shapes the tiny model. All widths are multiples of 32, so that Q8_0 GGUF blocks fit.

    Attributes:
        layers, hidden, feed_forward, heads, kv_heads: the Llama shape, 1.2 M parameters by default. Two wide layers
            beat four narrow ones at equal CPU time (training loss after 64 s: 1.1 against 1.5).
        vocabulary: tokens, 259 of them fixed (bytes and specials).
        context: longest prompt plus reply the model can read, in tokens.
        row_tokens, batch_rows: shape of one pre-training batch.
        steps: optimiser steps.
        learning_rate: peak; linear warm-up over a tenth of the steps, then cosine to a tenth of the peak.
        seed: of the weights and of the text.
    """

    layers: int = 2
    hidden: int = 192
    feed_forward: int = 512
    heads: int = 6
    kv_heads: int = 2
    vocabulary: int = 2048
    context: int = 512
    row_tokens: int = 96
    batch_rows: int = 8
    steps: int = 600
    learning_rate: float = 5e-3
    seed: int = 7

    @property
    def digest(self) -> str:
        """Hash of the recipe and of the code it runs through: a changed grammar is another model."""
        code = [inspect.getsource(module) for module in (grammar, lexicon, patterns, sentences, tokenizer, words)]
        code += [inspect.getsource(part) for part in (_batches, _pretrain, _rows)]
        return sha256_json({"recipe": asdict(self), "code": sha256_text("\n".join(code))})

    @property
    def name(self) -> str:
        """How manifests call this base model."""
        return f"casiopy-tiny-{self.digest[:12]}"


def tiny_model(data_dir: Path, recipe: TinyRecipe | None = None, progress: Progress | None = None) -> Path:
    """The cached model folder, built first when absent (about 45 CPU seconds with the default recipe).

    Raises:
        BaseModelError: the cache folder cannot be written.
    """
    recipe = recipe or TinyRecipe()
    folder = data_dir / "tiny" / recipe.name
    if not (folder / "config.json").is_file():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
        except OSError as error:
            raise BaseModelError(f"Cannot write {folder.parent} ({error}). Point CASIOPY_DATA elsewhere.") from error
        try:
            build_tiny_model(unfinished, recipe, progress)
            if not folder.exists():
                unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def build_tiny_model(out_dir: Path, recipe: TinyRecipe, progress: Progress | None = None) -> float:
    """Write a freshly pre-trained model and its tokenizer into `out_dir`; returns the last training loss.

    Deterministic for a recipe on one machine: one thread, fixed seeds. Two builds give the same bytes.
    """
    import torch

    without_shard_bars()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            chat = tokenizer.learn_tokenizer(exchanges(recipe.seed, 20_000), recipe.vocabulary)
            model = blank_model(recipe, chat)
            loss = _pretrain(model, chat, recipe, progress)
    finally:
        torch.set_num_threads(threads)
    model.generation_config.eos_token_id = chat.eos_token_id
    model.generation_config.pad_token_id = chat.pad_token_id
    model.save_pretrained(out_dir)
    chat.save_pretrained(out_dir)
    return loss


def blank_model(recipe: TinyRecipe, chat: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The recipe's shape with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(  # type: ignore[no-untyped-call]
        LlamaConfig(
            vocab_size=len(chat),
            hidden_size=recipe.hidden,
            intermediate_size=recipe.feed_forward,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.kv_heads,
            max_position_embeddings=recipe.context,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=chat.eos_token_id,
            pad_token_id=chat.pad_token_id,
        )
    )


def _rows(chat: PreTrainedTokenizerFast, recipe: TinyRecipe) -> Iterator[list[int]]:
    """Endless rows of exactly `row_tokens` tokens; each starts at the beginning of a conversation."""
    seed = recipe.seed
    while True:
        seed += 1
        row: list[int] = []
        for conversation in exchanges(seed, 2_000):
            row += chat.encode(
                chat.apply_chat_template(as_dicts(conversation), tokenize=False), add_special_tokens=False
            )
            if len(row) >= recipe.row_tokens:
                yield row[: recipe.row_tokens]
                row = []


def _batches(chat: PreTrainedTokenizerFast, recipe: TinyRecipe) -> Iterator[torch.Tensor]:
    import torch

    rows = _rows(chat, recipe)
    for _ in range(recipe.steps):
        yield torch.tensor([next(rows) for _ in range(recipe.batch_rows)])


def _pretrain(
    model: LlamaForCausalLM, chat: PreTrainedTokenizerFast, recipe: TinyRecipe, progress: Progress | None
) -> float:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=0.01, betas=(0.9, 0.95))
    warmup = max(1, recipe.steps // 10)

    def factor(step: int) -> float:
        return min((step + 1) / warmup, 0.1 + 0.45 * (1 + math.cos(math.pi * step / recipe.steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    loss = math.nan
    model.train()
    for step, batch in enumerate(_batches(chat, recipe), start=1):
        output = model(input_ids=batch, labels=batch)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss = float(output.loss.detach())
        if progress is not None:
            progress(step, recipe.steps, loss)
    return loss
