"""The schooling of a character: layered LoRAs trained on what it lived, a gate, and deployment."""

__version__ = "0.1.0"
