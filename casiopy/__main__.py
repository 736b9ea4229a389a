"""`python -m casiopy`."""

from casiopy.cli import main

main()
