"""When two exchanges are the same. Pure."""

import hashlib
import unicodedata


def normalise(text: str) -> str:
    """`text` without what a retyped copy may change: letter case, kinds of space, ways to write the same character."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def content_hash(input_text: str, output_text: str) -> bytes:
    """SHA-256 under which equal exchanges meet. (Normalised texts have no line feed, so the pair reads only one way.)"""
    return hashlib.sha256(f"{normalise(input_text)}\n{normalise(output_text)}".encode()).digest()
