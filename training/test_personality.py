"""The personality gate: is a new version still herself?

    python training/test_personality.py --model episodic-2026-w05-20260201T190000 --save-report
    python training/test_personality.py --model casiopy:week05 --save-report      # a tag that Ollama serves
    python training/test_personality.py --model ADAPTER --prompts 12 --samples 1  # a quick look; cannot pass for sure

Exit code 0 pass, 1 fail, 2 inconclusive, 3 could not judge. The same command as `casiopy gate`; despite its name this is
a program, not a test module.
"""

from persona_training.evaluation.command import gate

if __name__ == "__main__":
    gate()
