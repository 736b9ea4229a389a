"""Texts as vectors: the embedder, the model the database remembers, and the queue of texts that wait."""
