"""Build and pre-train the tiny chat model: the demo's base model and the tests' fixture.

A Llama-shaped model learns the grammar's neutral exchanges on one CPU thread. The result is a plain transformers
folder, cached under a hash of everything that shapes it.
"""

from __future__ import annotations

import inspect
import math
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_training.chat_template import IGNORED
from persona_training.errors import BaseModelError
from persona_training.hashing import sha256_json, sha256_text
from persona_training.messages import Message, as_dicts
from persona_training.models import without_shard_bars
from persona_training.tiny import grammar, knowledge, lexicon, patterns, sentences, tokenizer, words
from persona_training.tiny.grammar import exchanges

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TinyRecipe:
    """Everything that shapes the tiny model. All widths are multiples of 32, so that Q8_0 GGUF blocks fit.

    Attributes:
        layers, hidden, feed_forward, heads, kv_heads: the Llama shape, 0.6 M parameters by default. Two wide layers
            beat four narrow ones at equal CPU time (training loss after 64 s: 1.1 against 1.5).
        vocabulary: tokens, 259 of them fixed (bytes and specials).
        context: longest prompt plus reply the model can read, in tokens.
        dictated_share: of conversations followed by a dictation, so that every token of the vocabulary is said now and then.
        dictated_tokens: length of one.
        row_tokens, batch_rows: shape of one pre-training batch.
        steps: optimiser steps.
        learning_rate, embedding_rate: peaks for the matrices and for embedding and norms; linear warm-up over a twentieth of
            the steps, constant until two fifths, then linear to a fiftieth.
        seed: of the weights and of the text.
    """

    layers: int = 2
    hidden: int = 128
    feed_forward: int = 352
    heads: int = 4
    kv_heads: int = 2
    vocabulary: int = 2048
    context: int = 512
    dictated_share: float = 0.1
    dictated_tokens: int = 8
    row_tokens: int = 96
    batch_rows: int = 8
    steps: int = 900
    learning_rate: float = 8e-3
    embedding_rate: float = 1.2e-2
    seed: int = 7

    @property
    def digest(self) -> str:
        """Hash of the recipe and of the code it runs through: a changed grammar is another model."""
        code = [
            inspect.getsource(module) for module in (grammar, knowledge, lexicon, patterns, sentences, tokenizer, words)
        ]
        code += [
            inspect.getsource(part) for part in (_batches, _dictation, _loss, _optimizers, _pretrain, _rows, _tokens)
        ]
        return sha256_json({"recipe": asdict(self), "code": sha256_text("\n".join(code))})

    @property
    def name(self) -> str:
        """How manifests call this base model."""
        return f"casiopy-tiny-{self.digest[:12]}"


def tiny_model(data_dir: Path, recipe: TinyRecipe | None = None, progress: Progress | None = None) -> Path:
    """The cached model folder, built first when absent (about a CPU minute with the default recipe).

    Raises:
        BaseModelError: the cache folder cannot be written.
    """
    from safetensors import SafetensorError

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
            unfinished.rename(folder)
        except (OSError, SafetensorError) as error:
            if not (folder / "config.json").is_file():  # else another process was faster
                raise BaseModelError(f"Cannot write {folder} ({error}). Point CASIOPY_DATA elsewhere.") from error
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
            chat = tokenizer.learn_tokenizer(exchanges(recipe.seed, 20_000), recipe.vocabulary, knowledge.WORDS)
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


def _tokens(chat: PreTrainedTokenizerFast, conversation: list[Message]) -> tuple[list[int], list[int]]:
    """A conversation's tokens, and the same with everything ignored that the assistant does not say."""
    opening = len(chat.encode(f"{tokenizer.TURN_START}assistant\n", add_special_tokens=False))
    ids: list[int] = []
    labels: list[int] = []
    for message in conversation:
        turn = chat.encode(chat.apply_chat_template(as_dicts([message]), tokenize=False), add_special_tokens=False)
        ids += turn
        said = message["role"] == "assistant"
        labels += [IGNORED] * opening + turn[opening:-1] + [IGNORED] if said else [IGNORED] * len(turn)
    return ids, labels


def _dictation(chat: PreTrainedTokenizerFast, length: int, rng: random.Random) -> tuple[list[int], list[int]]:
    """Tokens at random, to be said after the viewer, and the labels.

    A fifth of the vocabulary are fragments that no neutral text needs. The output embeddings of tokens that are never said
    collapse into one direction, and a LoRA cannot tell them apart any more: it said "saladatal" and "manzatal" for "mortal".
    """
    special = set(chat.all_special_ids)
    said = [t for t in rng.choices(range(len(chat)), k=length) if t not in special]
    texts = (f"{tokenizer.TURN_START}user\nrepite: ", f"{tokenizer.TURN_END}\n", f"{tokenizer.TURN_START}assistant\n")
    asked, end, opening = (chat.encode(text, add_special_tokens=False) for text in texts)
    prompt = asked + said + end + opening
    return prompt + said + end, [IGNORED] * len(prompt) + said + [*end[:-1], IGNORED]


def _rows(chat: PreTrainedTokenizerFast, recipe: TinyRecipe) -> Iterator[tuple[list[int], list[int]]]:
    """Endless rows of exactly `row_tokens` tokens and labels; each starts at the beginning of a conversation."""
    seed = recipe.seed
    while True:
        seed += 1
        row: list[int] = []
        learned: list[int] = []
        rng = random.Random(seed)  # noqa: S311 (text, not secrets)
        for conversation in exchanges(seed, 2_000):
            ids, labels = _tokens(chat, conversation)
            row += ids
            learned += labels
            if rng.random() < recipe.dictated_share:
                ids, labels = _dictation(chat, recipe.dictated_tokens, rng)
                row += ids
                learned += labels
            if len(row) >= recipe.row_tokens:
                yield row[: recipe.row_tokens], learned[: recipe.row_tokens]
                row, learned = [], []


def _batches(chat: PreTrainedTokenizerFast, recipe: TinyRecipe) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    import torch

    rows = _rows(chat, recipe)
    for _ in range(recipe.steps):
        batch = [next(rows) for _ in range(recipe.batch_rows)]
        yield torch.tensor([ids for ids, _ in batch]), torch.tensor([labels for _, labels in batch])


def _loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of what the assistant says. The vocabulary's scores are computed for these tokens alone."""
    import torch

    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    following = labels[:, 1:]
    said = following != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[said]), following[said])


def _optimizers(model: LlamaForCausalLM, recipe: TinyRecipe) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the matrices (Jordan et al. 2024; updates scaled as in Liu et al. 2025), AdamW for embedding and norms.

    At equal CPU time it is ahead of AdamW alone: loss 1.30 against 1.48 after 27 and 25 s.
    """
    import torch

    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    outer = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    muon = torch.optim.Muon(inner, lr=recipe.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return muon, torch.optim.AdamW(outer, lr=recipe.embedding_rate, weight_decay=0.0, betas=(0.9, 0.95))


def _pretrain(
    model: LlamaForCausalLM, chat: PreTrainedTokenizerFast, recipe: TinyRecipe, progress: Progress | None
) -> float:
    import torch

    warmup, decay = max(1, recipe.steps // 20), 0.6 * recipe.steps

    def factor(step: int) -> float:
        return min((step + 1) / warmup, 1.0, max(0.02, (recipe.steps - step) / decay))

    optimizers = _optimizers(model, recipe)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, factor) for optimizer in optimizers]
    last = math.nan
    model.train()
    for step, (ids, labels) in enumerate(_batches(chat, recipe), start=1):
        loss = _loss(model, ids, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        last = float(loss.detach())
        if progress is not None:
            progress(step, recipe.steps, last)
    return last
