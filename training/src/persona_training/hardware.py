"""Which device and number format a run uses, and why; the reason is printed before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_training.errors import PersonaTrainingError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Hardware:
    """The choice and its reason."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    @property
    def dtype_name(self) -> str:
        """`float32`, `bfloat16` …, as manifests record it."""
        return str(self.dtype).removeprefix("torch.")


def choose_hardware(device: str = "auto", dtype: str = "auto") -> Hardware:
    """Pick device and dtype.

    Args:
        device: "auto", "cpu" or "cuda".
        dtype: "auto", "float32", "bfloat16" or "float16".

    Raises:
        PersonaTrainingError: CUDA was asked for and is not usable, or a name is unknown.
    """
    import torch

    if device not in {"auto", "cpu", "cuda"} or dtype not in {"auto", "float32", "bfloat16", "float16"}:
        raise PersonaTrainingError(
            f"Unknown device {device!r} or dtype {dtype!r}; see the comments in training/configs/."
        )
    usable = torch.cuda.is_available()
    if device == "cuda" and not usable:
        raise PersonaTrainingError(
            "CUDA was asked for, but torch sees no usable GPU. Run `casiopy doctor`, or use --device cpu."
        )
    place = torch.device("cuda" if usable and device != "cpu" else "cpu")
    if place.type == "cpu":
        why = "CPU: " + ("asked for" if device == "cpu" else "torch sees no usable CUDA GPU")
        chosen, format_why = torch.float32, "float32: bfloat16 is slower and less exact on most CPUs"
    elif torch.cuda.is_bf16_supported():
        why = f"CUDA: {torch.cuda.get_device_name(0)}"
        chosen, format_why = torch.bfloat16, "bfloat16: this GPU supports it, half the memory, no loss scaling"
    else:
        why = f"CUDA: {torch.cuda.get_device_name(0)}"
        chosen, format_why = torch.float32, "float32: this GPU has no bfloat16"
    if dtype != "auto":
        chosen, format_why = getattr(torch, dtype), f"{dtype}: asked for"
    return Hardware(device=place, dtype=chosen, reason=f"{why}; {format_why}")
