#!/usr/bin/env python
"""Train layer 3 from judged replies, on top of a finished layer 1: pairs (dpo) or votes (kto), as the dataset's format is.

    python training/train_preference_lora.py --dataset exports/preference/dpo.jsonl
    python training/train_preference_lora.py --dataset preference-1a2b3c4d --parent personality-20260105T090000
    python training/train_preference_lora.py --resume preference-20260202T090000

Run it small: --base-model tiny --max-steps 10 takes seconds on a CPU. The same command is `casiopy train-preference`.
"""

from persona_training.training_command import train_preference

if __name__ == "__main__":
    train_preference()
