"""`python -m persona_training doctor` and every other command of this package."""

from persona_training.cli import main

if __name__ == "__main__":
    main()
