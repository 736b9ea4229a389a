"""`python -m memory_service COMMAND`: the same commands that `casiopy` shows."""

from memory_service.cli import main

if __name__ == "__main__":
    main()
