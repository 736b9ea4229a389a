#!/usr/bin/env python
"""Train layer 2, one week of memories, on top of a finished layer 1.

    python training/train_episodic_lora.py --dataset exports/episodic/*.jsonl --week 5
    python training/train_episodic_lora.py --dataset episodic-2026-w05-1a2b3c4d --parent personality-20260105T090000
    python training/train_episodic_lora.py --resume episodic-2026-w05-20260202T090000

Run it small: --base-model tiny --max-steps 10 takes seconds on a CPU. The same command is `casiopy train-episodic`.
"""

from persona_training.training_command import train_episodic

if __name__ == "__main__":
    train_episodic()
