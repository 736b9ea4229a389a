"""A batch as tensors: conversations padded on the right to the longest one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from persona_training.chat_template import IGNORED, Example


def padded(examples: Sequence[Example], pad_token_id: int) -> dict[str, torch.Tensor]:
    """`input_ids`, `labels` (IGNORED on padding) and `attention_mask`, each (examples, longest)."""
    width = max(example.length for example in examples)
    ids = np.full((len(examples), width), pad_token_id)
    labels = np.full((len(examples), width), IGNORED)
    for row, example in enumerate(examples):
        ids[row, : example.length] = example.input_ids
        labels[row, : example.length] = example.labels
    lengths = np.array([example.length for example in examples])
    mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
    return {
        "input_ids": torch.from_numpy(ids),
        "labels": torch.from_numpy(labels),
        "attention_mask": torch.from_numpy(mask),
    }
