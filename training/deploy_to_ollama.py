"""Make a judged adapter live on Ollama.

    python training/deploy_to_ollama.py --week 5                # the newest layer 2 of week 5, as casiopy:week05
    python training/deploy_to_ollama.py --week 5 --dry-run      # what would happen
    python training/deploy_to_ollama.py --rollback              # the version before
    python training/deploy_to_ollama.py --adapter personality-20260131T181502 --tag casiopy:personality

Without a reachable Ollama it writes the GGUF file and the Modelfile and prints the commands for the rest (exit code 3).
The same command as `casiopy deploy`.
"""

from persona_training.ollama.command import deploy

if __name__ == "__main__":
    deploy()
