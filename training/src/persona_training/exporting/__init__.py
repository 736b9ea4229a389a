"""Fetching datasets from the memory service into exports/, whole or not at all."""
