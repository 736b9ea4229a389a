#!/usr/bin/env python
"""Train layer 3, a skill (a game, a format, a second language), on top of a finished layer 1.

    python training/train_skill_lora.py --name tarot --dataset exports/skill/tarot.jsonl
    python training/train_skill_lora.py --dataset skill-tarot-1a2b3c4d --parent personality-20260105T090000
    python training/train_skill_lora.py --resume skill-tarot-20260202T090000

A skill is a sibling of every week on the same layer 1 and can be joined with any of them. Run it small: --base-model tiny
--max-steps 10 takes seconds on a CPU. The same command is `casiopy train-skill`.
"""

from persona_training.training_command import train_skill

if __name__ == "__main__":
    train_skill()
