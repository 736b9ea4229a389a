"""A batch as tensors: conversations padded on the right to the longest one."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from persona_training.chat_template import IGNORED, Example


def padded(examples: Sequence[Example], pad_token_id: int) -> dict[str, torch.Tensor]:
    """`input_ids`, `labels` (IGNORED on padding) and `attention_mask`, each (examples, longest)."""
    width = max(example.length for example in examples)

    def rows(values: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
        return torch.tensor([[*row, *[filler] * (width - len(row))] for row in values])

    return {
        "input_ids": rows([example.input_ids for example in examples], pad_token_id),
        "labels": rows([example.labels for example in examples], IGNORED),
        "attention_mask": rows([[1] * example.length for example in examples], 0),
    }
