"""The personality gate: is a new version still herself?

    python training/test_personality.py --model episodic-2026-w05-20260201T190000 --save-report
    python training/test_personality.py --model casiopy:week05 --save-report      # a tag that Ollama serves
    python training/test_personality.py --model casiopy:week05 --smoke            # a quick look: 20 probes, no dialogues
    python training/test_personality.py --model NAME --backend openai --host http://127.0.0.1:8000/v1
    python training/test_personality.py --rescore lora_adapters/ADAPTER/results.jsonl --battery mine.yaml   # asks no model

Exit code 0 pass, 1 fail, 2 inconclusive, 3 could not judge. The same command as `casiopy gate`; despite its name this is
a program, not a test module.
"""

import sys

try:
    from persona_training.evaluation.command import gate
except KeyboardInterrupt:  # else 1, which would be a verdict
    sys.stderr.write("Stopped.\n")
    sys.exit(3)

if __name__ == "__main__":
    gate()
