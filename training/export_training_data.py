#!/usr/bin/env python
"""Export what the character may learn from: selected, redacted and split by the memory service, written to exports/.

    python training/export_training_data.py --type personality
    python training/export_training_data.py --type episodic --week 5 --year 2026
    python training/export_training_data.py --type skill --skill metroid
    python training/export_training_data.py --type preference --format kto
    python training/export_training_data.py --format chatml --output ./exports/week_05.jsonl --week 5

Run it small: --min-quality 0.9 takes only the best. It needs a running memory service (`casiopy serve`), and works from
any folder: datasets go to exports/ of the project. The same command is `casiopy export`.
"""

from persona_training.exporting.command import export

if __name__ == "__main__":
    export()
