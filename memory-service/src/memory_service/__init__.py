"""Casiopy's memory: core memory, scored interactions, recall, exports and lineage over PostgreSQL with pgvector."""

__version__ = "0.1.0"
