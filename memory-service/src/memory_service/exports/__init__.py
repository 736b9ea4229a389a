"""Exports: datasets selected, redacted, split and described by the service, with their lineage to every interaction."""
