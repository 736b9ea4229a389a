"""One way of training a LoRA in one process, measured: ours and those it is held against."""
