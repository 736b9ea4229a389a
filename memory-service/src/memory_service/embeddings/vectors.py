"""Vectors on their way into PostgreSQL."""

from collections.abc import Sequence


def vector_text(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it. Half precision keeps three to four digits; six are plenty."""
    return "[" + ",".join(f"{number:.6g}" for number in vector) + "]"
