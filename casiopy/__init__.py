"""The front of Casiopy: one command over the three packages, and what starts them together. It owns no logic of theirs."""
