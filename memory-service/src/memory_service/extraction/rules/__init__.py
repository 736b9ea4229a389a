"""What a message says about its author, by rules in Spanish and English: modest, precise, never a guess."""

from memory_service.extraction.rules.engine import MAX_CHARS, RULES_VERSION, extract

__all__ = ["MAX_CHARS", "RULES_VERSION", "extract"]
