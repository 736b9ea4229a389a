#!/usr/bin/env python
"""Train layer 1, the character itself.

    python training/train_personality_lora.py --dataset exports/personality/*.jsonl
    python training/train_personality_lora.py --dataset personality-1a2b3c4d --config training/configs/tiny/personality.yaml
    python training/train_personality_lora.py --resume personality-20260105T090000

Run it small: --base-model tiny --max-steps 10 takes seconds on a CPU. The same command is `casiopy train-personality`.
"""

from persona_training.training_command import train_personality

if __name__ == "__main__":
    train_personality()
